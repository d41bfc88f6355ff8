// SPDX-License-Identifier: Apache-2.0
// kill -9 of every process in turn, and cuts of the viewer, during a stream of mutations: none lost, none doubled, and the folded state is REST's.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from './lib/api.mjs';
import { applyFrame, comparable, startFold } from './lib/fold.mjs';
import { Follower } from './lib/follower.mjs';
import { random } from './lib/random.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const ROUNDS = process.env.DECNET_SOAK ? 120 : 10;
const PROCESSES = ['decnet-bus', 'decnet-decoy', 'decnet-decoy --udp', 'decnet-resolver', 'decnet-mutator', 'decnet-api'];

let suite, api, topology;

before(async () => {
  suite = await Suite.start();
  suite.cli('demo');
  api = await Api.admin(suite);
  topology = await api.demoTopology();
});

after(async () => {
  await suite?.stop();
});

test('mutations through crashes', async (t) => {
  const rng = random();
  t.diagnostic(`seed ${rng.seed}`);
  const path = `/topologies/${topology.id}`;
  const first = await api.get(path);
  const fold = startFold(first.body, first.watermark);
  const follower = new Follower(api, `${path}/events`);
  const following = follower.run();
  await eventually('the first snapshot', () => follower.viewer?.frames.some((f) => f.event === 'snapshot'));

  // Writers go on as long as there are kills; an answer that was lost with its gateway counts as unknown.
  const accepted = new Set();
  let writing = true;
  let names = 0;
  const live = [];
  const writer = (async () => {
    while (writing) {
      const add = live.length < 3 || rng.next() < 0.55;
      const name = add ? `chaos-${names++}` : live[rng.below(live.length)];
      const body = add
        ? { op: 'add_decky', payload: { name, lan: rng.pick(['dmz', 'inner']), services: [rng.pick(['http', 'redis', 'telnet'])] } }
        : { op: 'remove_decky', payload: { decky: name } };
      try {
        const res = await api.post(`${path}/mutations`, body);
        if (res.status === 202) {
          accepted.add(res.body.mutation_id);
          if (add) live.push(name);
          else live.splice(live.indexOf(name), 1);
        } else if (!add) {
          live.splice(live.indexOf(name), 1);
        }
      } catch {
        if (!add) live.splice(live.indexOf(name), 1);
      }
      await pause(20 + rng.below(60));
    }
  })();

  for (let round = 0; round < ROUNDS; round++) {
    const victim = PROCESSES[round % PROCESSES.length];
    await pause(100 + rng.below(400));
    await suite.kill(victim);
    if (rng.next() < 0.5) follower.cut();
  }
  writing = false;
  await writer;
  await suite.ready();

  // Everything that was accepted ends, once.
  const ends = new Map();
  await eventually(
    'every mutation has ended',
    async () => {
      const open = await api.expect(200, 'GET', `${path}/mutations?state=pending`);
      const applying = await api.expect(200, 'GET', `${path}/mutations?state=applying`);
      return open.total === 0 && applying.total === 0;
    },
    60000,
  );
  const rest = await api.get(path);
  await eventually('the viewer has everything', () => follower.lastId() >= rest.watermark || follower.rows.length > 0 && caughtUp(follower, rest.watermark), 30000);
  follower.stop();
  await following;

  const ids = follower.rows.map((f) => f.id);
  for (let i = 1; i < ids.length; i++) assert.ok(ids[i] > ids[i - 1], `ids rise strictly: ${ids[i - 1]} then ${ids[i]}`);
  assert.equal(follower.snapshots.length, 1, 'the journal reaches back to every cut');
  const whole = new Viewer(suite.url, `${path}/events`, { token: api.token, lastEventId: follower.snapshots[0].id });
  await whole.event('resumed');
  whole.cut();
  assert.deepEqual(ids, whole.rows().map((f) => f.id), 'what the viewer saw is what the journal has');

  for (const f of follower.rows) {
    if (!['mutation.applied', 'mutation.failed'].includes(f.event)) continue;
    const id = f.data.payload.mutation_id;
    assert.ok(!ends.has(id), `${id} ended twice`);
    ends.set(id, f.event);
  }
  for (const id of accepted) assert.ok(ends.has(id), `${id} was lost`);

  for (const f of follower.rows) applyFrame(fold, f);
  const mine = comparable(fold.topology, fold.lan.values(), fold.decky.values(), fold.edge.values());
  const theirs = comparable(rest.body.topology, rest.body.lans, rest.body.deckies, rest.body.edges);
  assert.deepEqual(mine, theirs);
  assert.equal(fold.queue.size, 0);
  t.diagnostic(`${accepted.size} accepted, ${ends.size} ended, ${follower.lives} lives of the viewer, ${ids.length} rows`);
});

/** Whether no row of this stream is missing up to the watermark: ask the journal from the last id on. */
async function caughtUp(follower, watermark) {
  const v = new Viewer(suite.url, follower.path, { token: api.token, lastEventId: follower.lastId() });
  const resumed = await v.event('resumed');
  v.cut();
  return resumed.data.replayed === 0 && resumed.data.to >= watermark;
}

test('after it the ports that answer are those of the rows', async () => {
  const { connect } = await import('node:net');
  await eventually('ports and rows agree', async () => {
    const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
    for (const d of detail.deckies)
      for (const e of d.endpoints) {
        const open = await new Promise((good) => {
          const s = connect(e.port, e.address, () => {
            s.destroy();
            good(true);
          });
          s.on('error', () => good(false));
        });
        if (!open) return false;
      }
    return true;
  });
});
