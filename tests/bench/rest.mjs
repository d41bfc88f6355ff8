// SPDX-License-Identifier: Apache-2.0
// The suite when nothing happens: memory of all its processes and their processor time over 30 s, with ten deckies deployed.
//   DECNET_BUILD=build-gcc node tests/bench/rest.mjs            SECONDS=30
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from '../e2e/lib/api.mjs';
import { Suite, children, eventually } from '../e2e/lib/suite.mjs';
import { Report } from './lib/report.mjs';

const SECONDS = Number(process.env.SECONDS ?? 30);
const DECKIES = 10;

/** Proportional and resident memory in KiB: shared pages count once over all, or in each. */
function memory(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (key) => Number(text.match(new RegExp(`^${key}:\\s+(\\d+)`, 'm'))[1]);
  return { pss: kib('Pss'), rss: kib('Rss') };
}

/** Nanoseconds on a processor, over all threads. */
function cpu(pid) {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, tid) => sum + Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]), 0);
}

const suite = await Suite.start({ DECNET_LOG_LEVEL: 'info' });
try {
  const api = await Api.admin(suite);
  suite.cli('demo');
  const demo = await api.demoTopology();
  const detail = await api.expect(200, 'GET', `/topologies/${demo.id}`);
  const lan = detail.lans[0].name;
  for (let i = detail.deckies.length; i < DECKIES; i++) await api.expect(202, 'POST', `/topologies/${demo.id}/mutations`, { op: 'add_decky', payload: { name: `rest-${i}`, lan, services: ['http', 'redis'] } });
  await eventually(`${DECKIES} deckies are there`, async () => {
    const now = await api.expect(200, 'GET', `/topologies/${demo.id}`);
    return now.deckies.length === DECKIES && now.deckies.every((d) => d.endpoints.length > 0);
  });
  await pause(5000);
  const processes = [{ pid: suite.process.pid, name: 'decnet up' }, ...children(suite.process.pid)];
  const before = processes.map((p) => cpu(p.pid));
  const began = performance.now();
  await pause(SECONDS * 1000);
  const seconds = (performance.now() - began) / 1000;
  for (const [i, p] of processes.entries()) Object.assign(p, memory(p.pid), { cpu_percent: (cpu(p.pid) - before[i]) / 1e7 / seconds });
  const sum = (key) => processes.reduce((s, p) => s + p[key], 0);
  const mib = (kib) => (kib / 1024).toFixed(1);
  const report = new Report('rest', `At rest with ${DECKIES} deckies`);
  report.data = { seconds, processes };
  report.table(
    `Memory, and processor time over ${SECONDS} s`,
    ['process', 'PSS (MB)', 'RSS (MB)', 'CPU (% of one processor)', 'target', ''],
    [
      ...processes.map((p) => [p.name, mib(p.pss), mib(p.rss), p.cpu_percent.toFixed(3), '', '']),
      ['all', mib(sum('pss')), mib(sum('rss')), sum('cpu_percent').toFixed(3), '≤ 60 MB RSS, 0 %', Report.check(sum('rss') <= 60 * 1024 && sum('cpu_percent') < 0.5)],
    ],
  );
  report.write();
} finally {
  await suite.stop();
}
