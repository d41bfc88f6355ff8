// SPDX-License-Identifier: Apache-2.0
// Random mutations on three topologies while every process is killed at random: afterwards the rows that are wanted, the ports that answer and what a
// viewer has folded are one. Then the same decky comes and goes again and again: no process holds more than at the start.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from './lib/api.mjs';
import { foldAgrees, follow, network, settle, write } from './lib/chaos.mjs';
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

const answersAt = (at) => new Promise((good) => {
  const [address, port] = at.split(':');
  const s = connect(Number(port), address, () => { s.destroy(); good(true); });
  s.on('error', () => good(false));
});

test(`${OPS} random mutations on each of three topologies, every process killed at random`, async (t) => {
  const rng = random(Number(process.env.DECNET_SEED ?? Math.floor(Math.random() * 2 ** 32)));
  t.diagnostic(`seed ${rng.seed}`);
  const nets = [await network(api, 'one'), await network(api, 'two'), await network(api, 'three')];
  for (const net of nets) await follow(api, net);
  let writers = nets.length;
  const writing = Promise.all(nets.map(async (net) => {
    net.accepted = await write(api, net, rng, OPS, SERVICES);
    writers--;
  }));
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
  for (const net of nets) await settle(api, net, net.accepted, counts);

  await eventually('the ports are those of the rows, and no others', async () => {
    const details = await Promise.all(nets.map(async (n) => (await api.get(n.at)).body));
    const wanted = told(details);
    if (JSON.stringify(listeningAll(suite)) !== JSON.stringify(wanted)) return false;
    return (await Promise.all(wanted.map(answersAt))).every(Boolean);
  }, 60000);
  for (const net of nets) await foldAgrees(api, net);
  t.diagnostic(`${kills} kills; ${JSON.stringify(counts)}; ${nets.map((n) => n.follower.lives).join(', ')} lives of the viewers`);
});

test(`a decky comes and goes ${CYCLES} times: no process holds more than before`, async (t) => {
  const net = await network(api, 'cycles');
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
  await eventually('descriptors are as before', () => PROCESSES.every((p) => descriptors(suite.pid(p)) <= from[p].fds + 6), 30000);
  const to = measure();
  for (const p of PROCESSES) {
    t.diagnostic(`${p}: ${from[p].fds} to ${to[p].fds} descriptors, ${from[p].rss.toFixed(1)} to ${to[p].rss.toFixed(1)} MiB`);
    if (!sanitized(suite.pid(p))) assert.ok(to[p].rss < from[p].rss + 16, `${p} grew from ${from[p].rss} to ${to[p].rss} MiB`);
  }
  assert.equal((await api.get(net.at)).body.deckies.length, 1);
});
