// SPDX-License-Identifier: Apache-2.0
// Many viewers on one gateway with two workers, held at one event a second: none is lost, none is sent twice, nobody is closed.
//   DECNET_BUILD=build-gcc node tests/bench/crowd.mjs          VIEWERS=30000 MINUTES=2
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from '../e2e/lib/api.mjs';
import { Suite, eventually, freePort } from '../e2e/lib/suite.mjs';
import { publish } from './lib/fanout.mjs';
import { LOAD_CPU, Program, family, program, require } from './lib/programs.mjs';
import { Report, ms } from './lib/report.mjs';

const VIEWERS = Number(process.env.VIEWERS ?? 30000);
const MINUTES = Number(process.env.MINUTES ?? 2);
// One load program holds as many as its limit of descriptors allows; one address has about 28,000 ports.
const LOADERS = Math.ceil(VIEWERS / 15000);
const SOURCES = 8;
const ROWS = 20;
require(program('sse_load'), program('publish'));

const metricsPort = await freePort();
const suite = await Suite.start({
  DECNET_LOG_LEVEL: 'warning',
  DECNET_SSE_MAX_PER_USER: '0',
  DECNET_API_WORKERS: '2',
  DECNET_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
});
const api = await Api.admin(suite);
const topology = await api.expect(201, 'POST', '/topologies/blank', { name: 'watched' });
const { lans } = await api.expect(200, 'GET', `/topologies/${topology.id}`);
const pids = family(suite.process.pid);

async function numbers(name) {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  return [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))].reduce((sum, m) => sum + Number(m[1]), 0);
}

const loaders = [];
const ready = [];
for (let i = 0; i < LOADERS; i++) {
  const viewers = Math.floor(VIEWERS / LOADERS) + (i < VIEWERS % LOADERS);
  const args = ['--to', `127.0.0.1:${suite.port}`, '--path', `/api/v1/topologies/${topology.id}/events`, '--viewers', viewers, '--sources', SOURCES];
  args.push('--header', `Authorization: Bearer ${api.token}`, '--open', 300, '--settle', 1000, '--drain', 120);
  if (i === LOADERS - 1) for (const pid of pids) args.push('--pid', pid);
  const loader = new Program(LOAD_CPU, program('sse_load'), args);
  loaders.push(loader);
  ready.push(await loader.line());
  console.error(`${ready.at(-1).open} viewers more in ${ready.at(-1).open_s} s`);
}
const held = await numbers('decnet_sse_streams');

/** The same of every loader. */
async function all(text) {
  for (const loader of loaders) loader.tell(text);
  return Promise.all(loaders.map((loader) => loader.line()));
}

const server = {
  publish: ['--to', `unix:${suite.env.DECNET_BUS_SOCKET}`, '--topic', `topology.${topology.id}.ext.bench`],
  size: 110,
};
await all('mark');
const last = await publish(server, 1, Math.round(MINUTES * 60), 1);
await pause(1500);
const calm = await all('mark');

// Rows of the journal, which the gateway counts as it sends them.
const before = await numbers('decnet_sse_frames_total');
for (let i = 1; i <= ROWS; i++) {
  await api.expect(200, 'PATCH', `/topologies/${topology.id}/lans/${lans[0].id}`, { x: i });
  await pause(500);
}
const wanted = VIEWERS * ROWS;
const rows = await eventually('all rows are sent', async () => {
  const n = (await numbers('decnet_sse_frames_total')) - before;
  return n >= wanted && n;
}, 60000).catch(() => -1);
const [closed, still] = [await numbers('decnet_sse_closed_total'), await numbers('decnet_sse_streams')];
const end = await all(`end ${last}`);
await suite.stop();

const sum = (list, key) => list.reduce((n, one) => n + key(one), 0);
const report = new Report('crowd', `${VIEWERS} viewers on one gateway with two workers, one event a second for ${MINUTES} min`);
report.data = { viewers: VIEWERS, minutes: MINUTES, ready, calm, end, rows, held, still, closed };
report.table(
  'Held',
  ['', '', 'target', ''],
  [
    ['viewers the gateway holds at the start, at the end', `${held}, ${still}`, `${VIEWERS}`, Report.check(held === VIEWERS && still === VIEWERS)],
    ['streams that were closed', closed, '0', Report.check(closed === 0)],
    ['events delivered', sum(end, (e) => e.deliveries), `${VIEWERS * last}`, Report.check(sum(end, (e) => e.deliveries) === VIEWERS * last)],
    ['lost, doubled or out of order', `${sum(end, (e) => e.lost)}, ${sum(end, (e) => e.doubled)}`, '0, 0', Report.check(sum(end, (e) => e.lost + e.doubled) === 0)],
    ['viewers without the last event, connections that broke', `${sum(end, (e) => e.behind)}, ${sum(end, (e) => e.broken)}`, '0, 0', Report.check(sum(end, (e) => e.behind + e.broken) === 0)],
    ['frames of journal rows sent', rows, `${wanted}`, Report.check(rows === wanted)],
  ],
);
report.table(
  'What it costs',
  ['', ''],
  [
    ['seconds to open all', sum(ready, (r) => r.open_s).toFixed(1)],
    ['user memory of the suite (KiB)', calm.at(-1).anon_kb],
    ["TCP's memory in the kernel, both ends (KiB)", calm.at(-1).tcp_kb],
    ['server CPU seconds per million deliveries', ((calm.at(-1).cpu_s * 1e6) / sum(calm, (c) => c.deliveries)).toFixed(2)],
    ['from the time an event was due to a viewer: p50, p99, max (ms, the slowest loader)', ['p50', 'p99', 'max'].map((q) => ms(Math.max(...calm.map((c) => c.lat_us[q])))).join(', ')],
  ],
);
report.write();
