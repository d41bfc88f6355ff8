// SPDX-License-Identifier: Apache-2.0
// From an attacker's byte and from a mutation to a viewer: p50 and p99 of 200, beside floors measured in the same run.
//   DECNET_BUILD=build-gcc node tests/bench/latency.mjs
import http from 'node:http';
import { Api } from '../e2e/lib/api.mjs';
import { Viewer } from '../e2e/lib/sse.mjs';
import { Suite } from '../e2e/lib/suite.mjs';
import { Report } from './lib/report.mjs';

const N = Number(process.env.N ?? 200);
const suite = await Suite.start({ DECNET_LOG_LEVEL: 'info' });
const ms = (x) => x.toFixed(2);
const report = new Report('latency', `From an attacker's byte and from a mutation to a viewer, ${N} of each`);
const rows = [];

function quantiles(list) {
  const s = [...list].sort((a, b) => a - b);
  const at = (q) => s[Math.min(s.length - 1, Math.ceil(q * s.length) - 1)];
  return { p50: at(0.5), p99: at(0.99), max: s[s.length - 1] };
}

function row(name, list, floor, target, good) {
  const q = quantiles(list);
  report.data[name] = q;
  rows.push([name, ms(q.p50), ms(q.p99), ms(q.max), floor ? `${(q.p50 / quantiles(floor).p50).toFixed(1)}x` : '', target ?? '', target ? Report.check(good(q)) : '']);
}

/** One request on a connection of its own; resolves with its duration. */
function get(e, localAddress) {
  const begin = performance.now();
  return new Promise((good, bad) => {
    const req = http.get({ host: e.address, port: e.port, path: '/', agent: false, localAddress }, (res) => {
      res.resume();
      res.on('end', () => good(performance.now() - begin));
    });
    req.on('error', bad);
  });
}

try {
  suite.cli('demo');
  const api = await Api.admin(suite);
  const topology = await api.demoTopology();
  const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
  const web = detail.deckies.flatMap((d) => d.endpoints).find((e) => e.service === 'http');
  const viewer = new Viewer(suite.url, '/events', { token: api.token, query: { topics: 'attacker.>,identity.>' } });
  await viewer.event('snapshot');

  const floor = [];
  const observed = [];
  const formed = [];
  for (let i = 0; i < N; i++) {
    const ip = `127.1.${1 + (i >> 8)}.${i & 255}`;
    const begin = performance.now();
    const from = viewer.frames.length;
    floor.push(await get(web, ip));
    const a = await viewer.wait('observed', (f) => f.event === 'attacker.observed' && f.data.payload.attacker_ip === ip, { from });
    observed.push(a.at - begin);
    const uuid = a.data.payload.attacker_uuid;
    const f = await viewer.wait(
      'identity',
      (x) => (x.event === 'identity.formed' && x.data.payload.observation_uuids.includes(uuid)) || (x.event === 'identity.observation.linked' && x.data.payload.observation_uuid === uuid),
      { from },
    );
    formed.push(f.at - begin);
  }
  viewer.cut();

  const stream = new Viewer(suite.url, `/topologies/${topology.id}/events`, { token: api.token });
  await stream.event('snapshot');
  const post = [];
  const applied = [];
  const connected = [];
  for (let i = 0; i < N; i++) {
    const add = i % 2 === 0;
    const body = add ? { op: 'add_decky', payload: { name: `bench-${i}`, lan: 'inner', services: ['http'] } } : { op: 'remove_decky', payload: { decky: `bench-${i - 1}` } };
    const from = stream.frames.length;
    const begin = performance.now();
    const { mutation_id: id } = await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, body);
    post.push(performance.now() - begin);
    const f = await stream.wait('applied', (x) => x.event === 'mutation.applied' && x.data.payload.mutation_id === id, { from });
    applied.push(f.at - begin);
    if (add) {
      const e = f.data.payload.changes.find((c) => c.kind === 'decky').row.endpoints[0];
      await get(e);
      connected.push(performance.now() - begin);
    }
  }
  stream.cut();

  row('floor: HTTP request to a decky and its answer', floor);
  row("attacker's first byte to attacker.observed frame", observed, floor, 'p99 ≤ 60 ms', (q) => q.p99 <= 60);
  row("attacker's first byte to identity frame", formed, floor, 'p99 ≤ 1000 ms', (q) => q.p99 <= 1000);
  row('floor: POST mutation and its 202', post);
  row('POST mutation to mutation.applied frame', applied, post, 'p50 ≤ 5, p99 ≤ 20 ms', (q) => q.p50 <= 5 && q.p99 <= 20);
  row('POST add_decky to first answer of its port', connected, post);
  report.table('Milliseconds, one after the other', ['', 'p50', 'p99', 'max', 'p50 / floor', 'target', ''], rows);
  report.write();
} finally {
  await suite.stop();
}
