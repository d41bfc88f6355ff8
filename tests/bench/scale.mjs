// SPDX-License-Identifier: Apache-2.0
// What a mutation costs in topologies of several sizes: latency to the viewer's frame, and processor time of those who do it.
//   DECNET_BUILD=build-gcc node tests/bench/scale.mjs           DECKIES=10,300,1000 N=200 DRIVER=loopback (netns as root)
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from '../e2e/lib/api.mjs';
import { Viewer } from '../e2e/lib/sse.mjs';
import { Suite, eventually } from '../e2e/lib/suite.mjs';
import { Report } from './lib/report.mjs';

const N = Number(process.env.N ?? 200);
const SIZES = (process.env.DECKIES ?? '10,300,1000').split(',').map(Number);
const DRIVER = process.env.DRIVER ?? 'loopback';
const P99 = DRIVER === 'netns' ? 25 : 20;
/* Subnets are /24. */
const A_LAN = 200;
const WORKERS = ['decnet-mutator', 'decnet-api', ...(DRIVER === 'netns' ? ['decnet-netd'] : [])];
const ms = (x) => x.toFixed(2);

/** Nanoseconds on a processor, over all threads. */
function cpu(pid) {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, tid) => sum + Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]), 0);
}

function quantiles(list) {
  const s = [...list].sort((a, b) => a - b);
  const at = (q) => s[Math.min(s.length - 1, Math.ceil(q * s.length) - 1)];
  return { p50: at(0.5), p99: at(0.99) };
}

/** A deployed topology of that many deckies, a few hundred on a LAN, all LANs joined to the DMZ by the gateway. */
async function network(api, size) {
  const { id } = await api.expect(201, 'POST', '/topologies/blank', { name: `scale-${size}` });
  const at = `/topologies/${id}`;
  const gateway = (await api.expect(200, 'GET', at)).deckies[0];
  let lan;
  for (let i = 0; i + 1 < size; i++) {
    if (i % A_LAN === 0) {
      lan = await api.expect(201, 'POST', `${at}/lans`, { name: `lan-${i / A_LAN}` });
      await api.expect(201, 'POST', `${at}/edges`, { decky_uuid: gateway.uuid, lan_id: lan.id });
    }
    const { uuid } = await api.expect(201, 'POST', `${at}/deckies`, { name: `d-${i}`, services: ['http', 'redis'] });
    await api.expect(201, 'POST', `${at}/edges`, { decky_uuid: uuid, lan_id: lan.id });
  }
  await api.expect(202, 'POST', `${at}/deploy`);
  await eventually('it is active', async () => (await api.get(`${at}/status-events`)).body[0].to_status === 'active', 120000);
  return at;
}

async function measure(suite, api, at) {
  const stream = new Viewer(suite.url, `${at}/events`, { token: api.token });
  await stream.event('snapshot');
  const post = [];
  const applied = [];
  const pids = WORKERS.map((w) => suite.pid(w));
  const spent = pids.map(() => 0);
  for (let i = 0; i < N; i++) {
    const body = i % 2 === 0
      ? { op: 'add_decky', payload: { name: `bench-${i}`, lan: 'lan-0', services: ['http', 'redis'] } }
      : { op: 'remove_decky', payload: { decky: `bench-${i - 1}` } };
    const from = stream.frames.length;
    const before = pids.map(cpu);
    const begin = performance.now();
    const { mutation_id } = await api.expect(202, 'POST', `${at}/mutations`, body);
    post.push(performance.now() - begin);
    const f = await stream.wait('applied', (x) => /^mutation\.(applied|failed)$/.test(x.event) && x.data.payload.mutation_id === mutation_id, { from });
    if (f.event !== 'mutation.applied') throw new Error(JSON.stringify(f.data));
    applied.push(f.at - begin);
    // What comes after an op, a pass over the network, is part of its price but not of its latency.
    await pause(60);
    for (const [k, pid] of pids.entries()) spent[k] += cpu(pid) - before[k];
  }
  stream.cut();
  return { post: quantiles(post), applied: quantiles(applied), cpu_ms: spent.map((ns) => ns / 1e6 / N) };
}

const suite = await Suite.start({ DECNET_LOG_LEVEL: 'info', DECNET_NET_DRIVER: DRIVER });
const report = new Report(`scale-${DRIVER}`, `A mutation in topologies of several sizes, ${N} of add_decky and remove_decky each, ${DRIVER} driver`);
try {
  const api = await Api.admin(suite);
  const rows = [];
  for (const size of SIZES) {
    const r = await measure(suite, api, await network(api, size));
    report.data[size] = r;
    rows.push([size, `${ms(r.post.p50)} / ${ms(r.post.p99)}`, `${ms(r.applied.p50)} / ${ms(r.applied.p99)}`, `${(r.applied.p50 / r.post.p50).toFixed(1)}x`, ...r.cpu_ms.map(ms),
      `p50 ≤ 5, p99 ≤ ${P99} ms`, Report.check(r.applied.p50 <= 5 && r.applied.p99 <= P99)]);
  }
  report.table('Milliseconds, p50 / p99; processor time of one mutation with the pass that follows it',
    ['deckies', 'floor: POST and its 202', 'POST to mutation.applied', 'p50 / floor', ...WORKERS.map((w) => `CPU of ${w}`), 'target', ''], rows);
  report.write();
} finally {
  await suite.stop();
}
