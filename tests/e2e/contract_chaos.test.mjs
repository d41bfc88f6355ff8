// SPDX-License-Identifier: Apache-2.0
// Random mutations on three topologies while every process is killed at random: afterwards the rows that are wanted, the ports that answer and what a
// viewer has folded are one. Then the same decky comes and goes again and again: no process holds more than at the start.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from './lib/api.mjs';
import { applyFrame, comparable, startFold } from './lib/fold.mjs';
import { Follower } from './lib/follower.mjs';
import { listeningAll, told } from './lib/listening.mjs';
import { descriptors, rssMiB, sanitized } from './lib/proc.mjs';
import { random } from './lib/random.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const SOAK = !!process.env.DECNET_SOAK;
const OPS = SOAK ? 2000 : 60; // of each topology
const CYCLES = SOAK ? 10000 : 60;
const PROCESSES = ['decnet-bus', 'decnet-decoy', 'decnet-resolver', 'decnet-mutator', 'decnet-api'];
const SERVICES = ['http', 'redis', 'telnet'];
let suite, api;

before(async () => {
  suite = await Suite.start();
  api = await Api.admin(suite);
});

after(async () => {
  await suite?.stop();
});

async function network(name) {
  const { id } = await api.expect(201, 'POST', '/topologies/blank', { name });
  const at = `/topologies/${id}`;
  await api.expect(202, 'POST', `${at}/deploy`);
  await eventually(`${name} is active`, async () => (await api.get(at)).body.topology.status === 'active');
  return { id, at };
}

/** What a decky is, as far as the ops of this test say. */
const row = (services, lans) => ({ services, lans });

/** The model of a topology: its LANs and deckies, changed by ops that were applied. */
class Model {
  constructor() {
    this.lans = new Set(['dmz']);
    this.deckies = new Map([['dmz-gateway', row(['ssh'], ['dmz'])]]);
  }

  apply(op, p) {
    const d = this.deckies.get(p.decky);
    if (op === 'add_lan') this.lans.add(p.name);
    else if (op === 'remove_lan') {
      this.lans.delete(p.name);
      for (const x of this.deckies.values()) x.lans = x.lans.filter((l) => l !== p.name);
    } else if (op === 'add_decky') this.deckies.set(p.name, row(p.services, [p.lan]));
    else if (op === 'remove_decky') this.deckies.delete(p.decky);
    else if (op === 'attach_decky') d.lans.push(p.lan);
    else if (op === 'detach_decky') d.lans = d.lans.filter((l) => l !== p.lan);
    else if (op === 'update_decky') d.services = p.services;
    else assert.equal(op, 'update_lan');
  }

  plain() {
    return { lans: [...this.lans].sort(), deckies: [...this.deckies].map(([name, d]) => [name, d.services, [...d.lans].sort()]).sort((a, b) => (a[0] < b[0] ? -1 : 1)) };
  }

  static of(detail) {
    const lan = Object.fromEntries(detail.lans.map((l) => [l.id, l.name]));
    const m = new Model();
    m.lans = new Set(detail.lans.map((l) => l.name));
    m.deckies = new Map(detail.deckies.map((d) => [d.name, row(d.services, detail.edges.filter((e) => e.decky_uuid === d.uuid).map((e) => lan[e.lan_id]))]));
    return m.plain();
  }
}

function randomOp(rng, names) {
  const some = () => SERVICES.filter(() => rng.next() < 0.5);
  const decky = () => `d${rng.below(12)}`;
  const lan = () => rng.pick(['dmz', 'l0', 'l1', 'l2']);
  const roll = rng.next();
  if (roll < 0.35) return ['add_decky', { name: decky(), lan: lan(), services: some() }];
  if (roll < 0.55) return ['remove_decky', { decky: decky() }];
  if (roll < 0.7) return ['update_decky', { decky: decky(), services: some() }];
  if (roll < 0.78) return ['attach_decky', { decky: decky(), lan: lan() }];
  if (roll < 0.84) return ['detach_decky', { decky: decky(), lan: lan() }];
  if (roll < 0.92) return ['add_lan', { name: `l${rng.below(3)}` }];
  if (roll < 0.96) return ['remove_lan', { name: `l${rng.below(3)}` }];
  return ['update_lan', { name: lan(), x: names.count++ }];
}

/** Every row of the queue, oldest first. */
async function wholeQueue(net) {
  const rows = [];
  for (;;) {
    const page = await api.expect(200, 'GET', `${net.at}/mutations?limit=500&offset=${rows.length}`);
    rows.push(...page.data);
    if (rows.length >= page.total) return rows.reverse();
  }
}

const answersAt = (at) => new Promise((good) => {
  const [address, port] = at.split(':');
  const s = connect(Number(port), address, () => { s.destroy(); good(true); });
  s.on('error', () => good(false));
});

test(`${OPS} random mutations on each of three topologies, every process killed at random`, async (t) => {
  const rng = random(Number(process.env.DECNET_SEED ?? Math.floor(Math.random() * 2 ** 32)));
  t.diagnostic(`seed ${rng.seed}`);
  const nets = [await network('one'), await network('two'), await network('three')];
  for (const net of nets) {
    const first = await api.get(net.at);
    net.fold = startFold(first.body, first.watermark);
    net.follower = new Follower(api, `${net.at}/events`);
    net.following = net.follower.run();
    await eventually('the first snapshot', () => net.follower.viewer?.frames.some((f) => f.event === 'snapshot'));
  }
  const names = { count: 0 };
  let writers = nets.length;
  const accepted = new Set();
  const write = async (net) => {
    for (let i = 0; i < OPS; ) {
      const [op, payload] = randomOp(rng, names);
      try {
        const res = await api.post(`${net.at}/mutations`, { op, payload });
        if (res.status === 202) {
          accepted.add(res.body.mutation_id);
          i++;
        } else if (res.status >= 500 && res.status !== 503) throw new Error(`${res.status} ${JSON.stringify(res.body)}`);
      } catch (e) {
        if (/^5\d\d/.test(e.message)) throw e;
        await pause(50); // the gateway is away; whether it took the op the queue tells
      }
      if (rng.next() < 0.2) await pause(rng.below(40));
    }
    writers--;
  };
  const writing = Promise.all(nets.map(write));
  let kills = 0;
  while (writers > 0) {
    await pause(100 + rng.below(500));
    await suite.kill(rng.pick(PROCESSES));
    kills++;
    if (rng.next() < 0.3) rng.pick(nets).follower.cut();
  }
  await writing;
  await suite.ready();
  const counts = {};
  for (const net of nets) {
    await eventually('every mutation has ended', async () => (await wholeQueue(net)).every((m) => !['pending', 'applying'].includes(m.state)), 120000);
    // One more op brings a degraded topology back.
    await api.expect(202, 'POST', `${net.at}/mutations`, { op: 'update_lan', payload: { name: 'dmz', x: 1 } });
    await eventually('it is active', async () => {
      const rows = await wholeQueue(net);
      return rows.at(-1).state === 'applied' && (await api.get(net.at)).body.topology.status === 'active';
    }, 60000);
    const rows = await wholeQueue(net);
    const model = new Model();
    for (const m of rows) {
      counts[m.state] = (counts[m.state] ?? 0) + 1;
      accepted.delete(m.id);
      if (m.state === 'applied') model.apply(m.op, m.payload);
      else assert.match(m.reason, /^(Driver|Timeout|Conflict): /, JSON.stringify(m));
    }
    const rest = await api.get(net.at);
    assert.deepEqual(Model.of(rest.body), model.plain(), 'the rows are what the applied ops make');
  }
  assert.equal(accepted.size, 0, 'none was lost');

  await eventually('the ports are those of the rows, and no others', async () => {
    const details = await Promise.all(nets.map(async (n) => (await api.get(n.at)).body));
    const wanted = told(details);
    if (JSON.stringify(listeningAll(suite)) !== JSON.stringify(wanted)) return false;
    return (await Promise.all(wanted.map(answersAt))).every(Boolean);
  }, 60000);
  for (const net of nets) {
    const rest = await eventually('the viewer has everything', async () => {
      const now = await api.get(net.at);
      const rows = [...net.follower.rows, ...(net.follower.viewer?.rows() ?? [])];
      return rows.some((f) => f.event === 'status' || f.id) && (rows.at(-1).id >= now.watermark || rows.filter((f) => f.event === 'mutation.applied').at(-1)?.data.payload.op === 'update_lan') && now;
    }, 60000);
    await eventually('nothing more comes', async () => {
      const n = net.follower.viewer.frames.length;
      await pause(300);
      return n === net.follower.viewer.frames.length;
    });
    net.follower.stop();
    await net.following;
    const ids = net.follower.rows.map((f) => f.id);
    for (let i = 1; i < ids.length; i++) assert.ok(ids[i] > ids[i - 1], 'ids rise strictly');
    for (const f of net.follower.rows) applyFrame(net.fold, f);
    const { topology, lan, decky, edge, queue } = net.fold;
    assert.deepEqual(comparable(topology, lan.values(), decky.values(), edge.values()), comparable(rest.body.topology, rest.body.lans, rest.body.deckies, rest.body.edges));
    assert.equal(queue.size, 0);
  }
  t.diagnostic(`${kills} kills; ${JSON.stringify(counts)}; ${nets.map((n) => n.follower.lives).join(', ')} lives of the viewers`);
});

test(`a decky comes and goes ${CYCLES} times: no process holds more than before`, async (t) => {
  const net = await network('cycles');
  let pending = [];
  const cycle = async (i) => {
    pending.push(await api.post(`${net.at}/mutations`, { op: 'add_decky', payload: { name: 'x', lan: 'dmz', services: ['redis', 'telnet'] } }));
    pending.push(await api.post(`${net.at}/mutations`, { op: 'remove_decky', payload: { decky: 'x' } }));
    assert.ok(pending.every((r) => r.status === 202), JSON.stringify(pending.at(-1).body));
    pending = [];
    if (i % 50 === 49) await idle();
  };
  const idle = () => eventually('the queue is empty', async () => (await api.get(`${net.at}/mutations?state=pending&limit=1`)).body.total + (await api.get(`${net.at}/mutations?state=applying&limit=1`)).body.total === 0, 120000);
  const measure = () => Object.fromEntries(PROCESSES.map((p) => [p, { fds: descriptors(suite.pid(p)), rss: rssMiB(suite.pid(p)) }]));
  const warm = SOAK ? 500 : 30;
  for (let i = 0; i < warm; i++) await cycle(i);
  await idle();
  const from = measure();
  for (let i = 0; i < CYCLES; i++) await cycle(i);
  await idle();
  await eventually('descriptors are as before', () => PROCESSES.every((p) => descriptors(suite.pid(p)) <= from[p].fds + 2), 30000);
  const to = measure();
  for (const p of PROCESSES) {
    t.diagnostic(`${p}: ${from[p].fds} to ${to[p].fds} descriptors, ${from[p].rss.toFixed(1)} to ${to[p].rss.toFixed(1)} MiB`);
    if (!sanitized(suite.pid(p))) assert.ok(to[p].rss < from[p].rss + 16, `${p} grew from ${from[p].rss} to ${to[p].rss} MiB`);
  }
  assert.equal((await api.get(net.at)).body.deckies.length, 1);
});
