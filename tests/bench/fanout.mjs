// SPDX-License-Identifier: Apache-2.0
// One event to many viewers: decnet-api beside nginx + nchan and a floor that sends each event to each viewer by one system call.
//   DECNET_BUILD=build-gcc node tests/bench/fanout.mjs          VIEWERS=10000 RUNS=3 FLOODS=0
import { setTimeout as pause } from 'node:timers/promises';
import { NCHAN, NGINX, publish, servers, watch } from './lib/fanout.mjs';
import { middle, program, require, runs } from './lib/programs.mjs';
import { Report, ms, ratio, thousands } from './lib/report.mjs';

const VIEWERS = Number(process.env.VIEWERS ?? 10000);
const STALLED = VIEWERS / 10;
// Without the floods the processors are idle nine tenths of the time.
const RATES = process.env.FLOODS === '0' ? [] : [50, 200, 400];
require(NGINX, NCHAN, program('sse_load'), program('sse_floor'), program('publish'), program('journal'));

async function mark(loader) {
  loader.tell('mark');
  return loader.line();
}

/** One event a second: the time until each viewer has it. */
async function calm(server, loader, first) {
  const last = await publish(server, 1, 2, first);
  // The last event is published, not yet delivered: the next one must not come on its heels.
  await pause(1000);
  await mark(loader);
  const end = await publish(server, 1, 12, last + 1);
  await pause(1000);
  return { last: end, result: await mark(loader) };
}

/** A fixed rate that may be too much: deliveries in a window of 4 s, 1.5 s after the start. */
async function flood(server, loader, first, rate) {
  const going = publish(server, rate, 6, first);
  await pause(1500);
  await mark(loader);
  await pause(4000);
  const result = await mark(loader);
  return { last: await going, result };
}

async function measure(server) {
  const { loader, ready } = await watch(server, VIEWERS);
  const result = { ready };
  let { last, result: one } = await calm(server, loader, 1);
  result.calm = one;
  for (const rate of RATES) {
    const f = await flood(server, loader, last + 1, rate);
    last = f.last;
    result[rate] = f.result;
    // What is left over is not the next rate's.
    await settled(loader);
  }
  loader.tell(`end ${last}`);
  result.end = await loader.line();
  return result;
}

/** Waits until nothing arrives any more. */
async function settled(loader) {
  for (;;) {
    await pause(500);
    if ((await mark(loader)).deliveries === 0) return;
  }
}

/** The others' latency at two events a second, without and with viewers that have stopped reading and whose sockets are full. */
async function stalled(server, slow) {
  const { loader, ready } = await watch(server, VIEWERS, slow);
  let last = await publish(server, 100, 3, 1);
  await settled(loader);
  last = await publish(server, 2, 10, last + 1);
  await pause(1000);
  const result = await mark(loader);
  loader.tell(`end ${last}`);
  return { ready, result, end: await loader.line() };
}

const got = { decnet: [], journal: [], nchan: [], floor: [] };
const stall = { none: [], some: [] };
for (let i = 0; i < runs; i++) {
  for (const name of Object.keys(got)) {
    got[name].push(await servers[name](measure));
    console.error(`run ${i + 1} of ${runs}: ${name}`);
  }
  stall.none.push(await servers.decnet((server) => stalled(server, 0)));
  stall.some.push(await servers.decnet((server) => stalled(server, STALLED)));
}

const report = new Report('fanout', `Fan-out to ${VIEWERS} viewers, median of ${runs}`);
report.data = { viewers: VIEWERS, got, stall };
const of = (name, key) => middle(got[name], key);
const value = (name, key) => key(of(name, key));
const perS = (rate) => (r) => r[rate].per_s;

report.table(
  'Deliveries per second',
  ['offered', 'decnet', 'decnet, journal', 'nchan', 'floor', 'decnet / nchan', '/ floor', 'target', ''],
  RATES.map((rate) => {
    const [d, j, n, f] = Object.keys(got).map((s) => value(s, perS(rate)));
    // A server that keeps up is held back by what is offered; then the ratio is a lower bound.
    const full = d > 0.99 * rate * VIEWERS ? '≥ ' : '';
    const good = { 50: d >= 4 * n, 200: d >= 10 * n && d >= 5 * f }[rate];
    return [
      `${rate}/s = ${thousands(rate * VIEWERS)}/s`,
      thousands(d),
      thousands(j),
      thousands(n),
      thousands(f),
      full + ratio(d, n),
      full + ratio(d, f),
      { 50: '≥ 4x nchan', 200: '≥ 10x nchan, ≥ 5x floor' }[rate] ?? '',
      good === undefined ? '' : Report.check(good),
    ];
  }),
);
// What a whole processor of its own would give: the share of one that others took is not in it.
const perCpu = (name, rate) => 1e6 / value(name, (r) => r[rate].cpu_s_per_million);
report.table(
  "Deliveries per second of the server's processor time",
  ['offered', 'decnet', 'decnet, journal', 'nchan', 'floor', 'decnet / nchan', '/ floor', 'target', ''],
  RATES.map((rate) => {
    const [d, j, n, f] = Object.keys(got).map((s) => perCpu(s, rate));
    const good = { 50: d >= 4 * n, 200: d >= 10 * n && d >= 5 * f }[rate];
    return [`${rate}/s`, thousands(d), thousands(j), thousands(n), thousands(f), ratio(d, n), ratio(d, f), { 50: '≥ 4x nchan', 200: '≥ 10x nchan, ≥ 5x floor' }[rate] ?? '', good === undefined ? '' : Report.check(good)];
  }),
);
report.table(
  'What it costs',
  ['', 'decnet', 'decnet, journal', 'nchan', 'floor', 'target', ''],
  [
    ...RATES.map((rate) => [`server CPU seconds per million deliveries at ${rate}/s`, ...Object.keys(got).map((s) => value(s, (r) => r[rate].cpu_s_per_million).toFixed(2)), '', '']),
    ['server CPU seconds per million deliveries at one event a second', ...Object.keys(got).map((s) => value(s, (r) => r.calm.cpu_s_per_million).toFixed(2)), '', ''],
    [
      'bytes of user memory per idle viewer',
      ...Object.keys(got).map((s) => Math.round(value(s, (r) => r.ready.bytes_per_viewer))),
      '≤ 1024',
      Report.check(value('decnet', (r) => r.ready.bytes_per_viewer) <= 1024),
    ],
    ['seconds to open all', ...Object.keys(got).map((s) => value(s, (r) => r.ready.open_s).toFixed(1)), '', ''],
  ],
);
const p = (q) => (r) => r.calm.lat_us[q];
report.table(
  'From the time an event was due to a viewer, one event a second (ms)',
  ['', 'decnet', 'decnet, journal', 'nchan', 'floor', 'decnet / floor', 'target', ''],
  ['p50', 'p99', 'max'].map((q) => {
    const [d, j, n, f] = Object.keys(got).map((s) => value(s, p(q)));
    return [q, ms(d), ms(j), ms(n), ms(f), ratio(d, f), q === 'p99' ? '≤ 1.3x floor, < nchan' : '', q === 'p99' ? Report.check(d <= 1.3 * f && d < n) : ''];
  }),
);
const late = (r) => r.result.lat_us.p99;
const [none, some] = [middle(stall.none, late), middle(stall.some, late)];
report.table(
  `${STALLED} of ${VIEWERS} viewers stop reading, two events a second`,
  ['', 'all read', 'some do not', 'target', ''],
  [
    ['p99 of the readers (ms)', ms(late(none)), ms(late(some)), '≤ 1.1x', Report.check(late(some) <= 1.1 * late(none))],
    ['user memory of the suite (KiB)', none.result.anon_kb, some.result.anon_kb, 'bounded', ''],
    ["TCP's memory in the kernel (KiB)", none.result.tcp_kb, some.result.tcp_kb, 'bounded', ''],
  ],
);
const all = [...Object.values(got).flat(), ...stall.none, ...stall.some];
const names = [...Object.entries(got).flatMap(([n, l]) => l.map(() => n)), ...stall.none.map(() => 'decnet'), ...stall.some.map(() => 'decnet')];
const bad = (name) => all.filter((r, i) => names[i] === name).reduce((s, r) => ({ lost: s.lost + r.end.lost, doubled: s.doubled + r.end.doubled, behind: s.behind + r.end.behind, all: s.all + r.end.deliveries }), { lost: 0, doubled: 0, behind: 0, all: 0 });
report.table(
  'Every delivery, counted',
  ['', 'deliveries', 'lost', 'twice or out of order', 'viewers without the last event'],
  Object.keys(got).map((name) => [name, bad(name).all, bad(name).lost, bad(name).doubled, bad(name).behind]),
);
report.write();
