// SPDX-License-Identifier: Apache-2.0
// What the programs of TCP/IP personas cost: connections and bytes between an attacker and a decky of each, with its programs and without, and
// the time that the kernel says they take. As root.
//   DECNET_BUILD=build-gcc node tests/bench/personas.mjs             ROUNDS=5 MS=1000
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Api } from '../e2e/lib/api.mjs';
import { Fabric } from '../e2e/lib/fabric.mjs';
import { Suite, eventually } from '../e2e/lib/suite.mjs';
import { program, require } from './lib/programs.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const MS = process.env.MS ?? '1000';
const PORT = '7008';
const STATS = '/proc/sys/kernel/bpf_stats_enabled';
const personas = ['linux', 'windows', 'windows_server', 'embedded'];
const archetypes = ['linux-server', 'windows-workstation', 'windows-server', 'iot-device'];
if (process.getuid() !== 0) {
  console.log('not root: left out');
  process.exit(0);
}
require(program('tcp_load'));

const median = (v) => v.toSorted((a, b) => a - b)[Math.floor(v.length / 2)];

/** Map of program name to {ns, n} as the kernel has counted, from the descriptors of decnet-netd. */
function counted(pid) {
  const found = new Map();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    const text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
    if (/^prog_id/m.test(text)) found.set(Number(field('prog_id')), { ns: field('run_time_ns'), n: field('run_cnt') });
  }
  // The order of ids is that of loading: what leaves and what comes, for each persona.
  return [...found].sort(([a], [b]) => a - b).map(([, v]) => v);
}

const suite = await Suite.start({ DECNET_NET_DRIVER: 'netns', DECNET_LOG_LEVEL: 'warning' });
let attacker;
const servers = [];
const stats = readFileSync(STATS, 'utf8');
try {
  const api = await Api.admin(suite);
  const fabric = new Fabric(suite);
  const topology = await api.expect(201, 'POST', '/topologies/blank', { name: 'personas' });
  const detail = () => api.expect(200, 'GET', `/topologies/${topology.id}`);
  const [dmz] = (await detail()).lans;
  const hosts = [];
  for (const [i, archetype] of archetypes.entries()) {
    const made = await api.expect(201, 'POST', `/topologies/${topology.id}/deckies`, { name: `host-${i}`, services: ['http'], decky_config: { archetype } });
    const edge = await api.expect(201, 'POST', `/topologies/${topology.id}/edges`, { decky_uuid: made.uuid, lan_id: dmz.id });
    hosts.push({ space: `${topology.id}.${made.uuid}`, ip: edge.ip });
  }
  await api.expect(202, 'POST', `/topologies/${topology.id}/deploy`);
  await eventually('the topology is active', async () => (await detail()).topology.status === 'active');
  attacker = await fabric.attacker(dmz.id, dmz.subnet.replace(/\.0\/\d+$/, '.200/24'));
  for (const host of hosts) {
    host.port = fabric.nics().find((n) => n.ip === host.ip).port;
    const server = spawn('nsenter', [`--net=${join(fabric.dir, host.space)}`, program('tcp_load'), 'serve', PORT], { stdio: ['ignore', 'pipe', 'inherit'] });
    servers.push(server);
    await new Promise((good) => server.stdout.once('data', good));
  }
  const load = async (what, host) => JSON.parse(await attacker.run(program('tcp_load'), what, host.ip, PORT, MS));
  const round = async (host, into) => {
    into.per_s.push((await load('connect', host)).per_s);
    into.mb.push((await load('pull', host)).mb_per_s);
  };
  const fresh = () => ({ per_s: [], mb: [] });
  const results = hosts.map(() => ({ with: fresh(), without: fresh() }));
  // The same hosts both ways in turns; another decnet-netd puts its programs on again.
  for (let i = 0; i < ROUNDS; i++) {
    for (const [k, host] of hosts.entries()) await round(host, results[k].with);
    for (const host of hosts) fabric.enter('fabric', 'tc', 'qdisc', 'del', 'dev', host.port, 'clsact');
    for (const [k, host] of hosts.entries()) await round(host, results[k].without);
    await suite.kill('decnet-netd');
    await eventually('the programs are there', () => hosts.every((h) => /decnet_out/.test(fabric.enter('fabric', 'tc', 'filter', 'show', 'dev', h.port, 'ingress'))));
  }
  writeFileSync(STATS, '1');
  for (const host of hosts) await round(host, fresh());
  const times = counted(suite.pid('decnet-netd'));
  console.log('| persona | connections/s with / without | MB/s with / without | ns a packet that leaves / comes |');
  console.log('| --- | --- | --- | --- |');
  for (const [i, persona] of personas.entries()) {
    const r = results[i];
    const ns = (v) => (v?.n ? (v.ns / v.n).toFixed(0) : '-');
    console.log(`| ${persona} | ${median(r.with.per_s)} / ${median(r.without.per_s)} | ${median(r.with.mb)} / ${median(r.without.mb)} | ${ns(times[2 * i])} / ${ns(times[2 * i + 1])} |`);
  }
  console.log(`\n${ROUNDS} rounds of ${MS} ms, medians; ${execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim()}`);
} finally {
  writeFileSync(STATS, stats);
  for (const s of servers) s.kill('SIGKILL');
  attacker?.leave();
  await suite.stop();
}
