// SPDX-License-Identifier: Apache-2.0
// Messages through the broker: decnet-bus beside nats-server, redis and a floor that does nothing but pass on.
//   DECNET_BUILD=build-gcc node tests/bench/bus.mjs             RUNS=3
import { join } from 'node:path';
import { build, freePort } from '../e2e/lib/suite.mjs';
import { LOAD_CPU, Program, SERVER_CPU, listening, middle, program, require, runs, withFolder } from './lib/programs.mjs';
import { Report, ratio, thousands } from './lib/report.mjs';

const NATS = '/usr/sbin/nats-server';
const REDIS = '/usr/bin/redis-server';
const BUS = join(build, 'src/main/decnet-bus');
const TOKEN = 'token-of-the-benchmark';
require(NATS, REDIS, BUS, program('bus_load'), program('bus_floor'));

/** A broker on the processor of servers, while `work` runs. */
async function broker(path, args, where, options, work) {
  const server = new Program(SERVER_CPU, path, args, options);
  server.process.stdout.resume();
  try {
    await listening(where);
    return await work(server);
  } finally {
    await server.stop();
  }
}

const brokers = {
  decnet: (work) =>
    withFolder((dir) => {
      const path = join(dir, 'bus.sock');
      const env = { PATH: process.env.PATH, DECNET_STATE_DIR: dir, DECNET_BUS_SOCKET: path, DECNET_LOG_LEVEL: 'warning' };
      return broker(BUS, [], { path }, { env }, (s) => work([`unix:${path}`], s));
    }),
  'decnet-tcp': (work) =>
    withFolder(async (dir) => {
      const port = await freePort();
      const where = `127.0.0.1:${port}`;
      const env = { PATH: process.env.PATH, DECNET_STATE_DIR: dir, DECNET_BUS_SOCKET: join(dir, 'bus.sock'), DECNET_BUS_LISTEN: where, DECNET_BUS_TOKEN: TOKEN, DECNET_LOG_LEVEL: 'warning' };
      return broker(BUS, [], { host: '127.0.0.1', port }, { env }, (s) => work([where, '--token', TOKEN], s));
    }),
  nats: (work) =>
    freePort().then((port) => broker(NATS, ['--addr', '127.0.0.1', '--port', port], { host: '127.0.0.1', port }, {}, (s) => work([`127.0.0.1:${port}`], s))),
  redis: (work) =>
    withFolder((dir) => {
      const path = join(dir, 'redis.sock');
      return broker(REDIS, ['--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no', '--dir', dir], { path }, {}, (s) => work([`unix:${path}`, '--wire', 'redis'], s));
    }),
  floor: (work) =>
    withFolder((dir) => {
      const path = join(dir, 'floor.sock');
      return broker(program('bus_floor'), [path], { path }, {}, (s) => work([`unix:${path}`], s));
    }),
};

const all = {
  '1 to 1': ['--subs', 1],
  '1 to 100': ['--subs', 100],
  '10,000 wildcards': ['--subs', 10, '--patterns', 10000],
  '1,000 a second': ['--subs', 1, '--rate', 1000],
};

// LOADS=wildcards: only those whose name has this word.
const loads = Object.fromEntries(Object.entries(all).filter(([name]) => name.includes(process.env.LOADS ?? '')));

const got = Object.fromEntries(Object.keys(brokers).map((b) => [b, Object.fromEntries(Object.keys(loads).map((l) => [l, []]))]));
for (let i = 0; i < runs; i++) {
  for (const [load, args] of Object.entries(loads))
    for (const [name, start] of Object.entries(brokers))
      await start(async ([to, ...more], server) => {
        const p = new Program(LOAD_CPU, program('bus_load'), ['--to', to, ...more, ...args, '--pid', server.pid]);
        got[name][load].push(await p.line());
        await p.exited;
      });
  console.error(`run ${i + 1} of ${runs}`);
}

const report = new Report('bus', `Messages through the broker, 200 bytes, median of ${runs}`);
report.data = { got };
const names = Object.keys(brokers);
const rate = (name, load) => middle(got[name][load], (r) => r.deliveries_per_s).deliveries_per_s;
const us = (name, q) => middle(got[name]['1,000 a second'], (r) => r.lat_us[q]).lat_us[q];
const targets = {
  '1 to 1': ['≥ 2x nats and redis', (r) => r.decnet >= 2 * r.nats && r.decnet >= 2 * r.redis],
  '10,000 wildcards': ['≥ 4x nats', (r) => r.decnet >= 4 * r.nats],
};
report.table(
  'Deliveries per second, 1,000 messages under way',
  ['', 'decnet (UNIX)', 'decnet (TCP)', 'nats-server (TCP)', 'redis (UNIX)', 'floor (UNIX)', 'decnet / nats', '/ redis', '/ floor', 'target', ''],
  Object.keys(loads)
    .filter((load) => !all[load].includes('--rate'))
    .map((load) => {
      const r = Object.fromEntries(names.map((n) => [n, rate(n, load)]));
      const [text, check] = targets[load] ?? ['', null];
      return [load, ...names.map((n) => thousands(r[n])), ratio(r.decnet, r.nats), ratio(r.decnet, r.redis), ratio(r.decnet, r.floor), text, check ? Report.check(check(r)) : ''];
    }),
);
// What a whole processor of its own would give: neither what others took of it nor how fast a sleeping peer is woken is in it.
const perCpu = (name, load) => 1e6 / middle(got[name][load], (r) => r.cpu_s_per_million).cpu_s_per_million;
report.table(
  "Deliveries per second of the broker's processor time",
  ['', 'decnet (UNIX)', 'decnet (TCP)', 'nats-server (TCP)', 'redis (UNIX)', 'floor (UNIX)', 'decnet / nats', '/ redis', '/ floor', 'target', ''],
  Object.keys(loads).map((load) => {
    const r = Object.fromEntries(names.map((n) => [n, perCpu(n, load)]));
    const [text, check] = targets[load] ?? ['', null];
    return [load, ...names.map((n) => thousands(r[n])), ratio(r.decnet, r.nats), ratio(r.decnet, r.redis), ratio(r.decnet, r.floor), text, check ? Report.check(check(r)) : ''];
  }),
);
report.table(
  'From the time a message was due to its subscriber, 1,000 a second (µs)',
  ['', 'decnet (UNIX)', 'decnet (TCP)', 'nats-server (TCP)', 'redis (UNIX)', 'floor (UNIX)', 'decnet / nats', '/ floor', 'target', ''],
  (loads['1,000 a second'] ? ['p50', 'p99'] : []).map((q) => {
    const r = Object.fromEntries(names.map((n) => [n, us(n, q)]));
    return [q, ...names.map((n) => r[n].toFixed(0)), ratio(r.decnet, r.nats), ratio(r.decnet, r.floor), q === 'p99' ? '≤ nats' : '', q === 'p99' ? Report.check(r.decnet <= r.nats) : ''];
  }),
);
const sum = (name, key) => Object.values(got[name]).flat().reduce((s, r) => s + r[key], 0);
report.table(
  'Every delivery, counted',
  ['', 'deliveries', 'lost', 'twice or out of order', 'not received at the end'],
  names.map((n) => [n, ...['deliveries', 'lost', 'doubled', 'behind'].map((k) => sum(n, k))]),
);
report.write();
