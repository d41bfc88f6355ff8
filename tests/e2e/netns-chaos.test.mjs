// SPDX-License-Identifier: Apache-2.0
// Random mutations on three real networks while every process is killed at random: afterwards rows, kernel, ports and what viewers have folded are one,
// and after the teardown nothing is left. Then the same decky comes and goes again and again: neither a process nor the kernel holds more than at the start.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Api } from './lib/api.mjs';
import { foldAgrees, follow, network, settle, write } from './lib/chaos.mjs';
import { Fabric, cannot } from './lib/fabric.mjs';
import { descriptors, rssMiB, sanitized } from './lib/proc.mjs';
import { random } from './lib/random.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const exec = promisify(execFile);
const SOAK = !!process.env.DECNET_SOAK;
const OPS = SOAK ? 2000 : 80; // of each topology
const CYCLES = Number(process.env.DECNET_CYCLES ?? (SOAK ? 10000 : 60));
const PROCESSES = ['decnet-bus', 'decnet-decoy', 'decnet-decoy --udp', 'decnet-resolver', 'decnet-netd', 'decnet-mutator', 'decnet-api'];
const HOLDERS = ['decnet-decoy', 'decnet-decoy --udp', 'decnet-mutator', 'decnet-netd'];
const SERVICES = ['http', 'redis', 'telnet', 'snmp'];
const why = cannot();
let suite, api, fabric;

before(async () => {
  if (why) return;
  suite = await Suite.start({ DECNET_NET_DRIVER: 'netns' });
  api = await Api.admin(suite);
  fabric = new Fabric(suite);
});

after(async () => {
  await suite?.stop();
});

const check = (name, fn) => test(name, { skip: why ?? false }, fn);

/** What the kernel has in a decky's namespace: addresses and listening sockets. */
function inside(space) {
  const addresses = JSON.parse(fabric.enter(space, 'ip', '-j', '-4', 'addr')).filter((l) => l.ifname !== 'lo').flatMap((l) => l.addr_info.map((a) => a.local)).sort();
  const links = JSON.parse(fabric.enter(space, 'ip', '-j', 'link')).filter((l) => l.ifname !== 'lo').length;
  const sockets = fabric.enter(space, 'ss', '-Hltun').trim().split('\n').filter(Boolean).map((l) => l.trim().split(/\s+/)).map((c) => `${c[0]} ${/:(\d+)$/.exec(c[4])[1]}`).sort();
  return { addresses, links, sockets };
}

const unique = (list) => [...new Set(list)].sort();

/** Namespaces, links, addresses and sockets are exactly those of the rows. */
function kernelAgrees(details) {
  const nics = details.flatMap((d) => d.edges.map((e) => `${d.topology.id} ${e.decky_uuid} ${e.lan_id} ${e.ip}`)).sort();
  assert.deepEqual(fabric.nics().map((n) => `${n.topology} ${n.decky} ${n.lan} ${n.ip}`).sort(), nics, 'interfaces');
  assert.equal(fabric.links().length, nics.length + details.reduce((n, d) => n + d.lans.length, 0), 'links');
  for (const d of details) for (const l of d.lans) assert.ok(fabric.bridge(l.id), `a bridge of ${l.name}`);
  const deckies = details.flatMap((d) => d.deckies.map((x) => ({ x, d, space: `${d.topology.id}.${x.uuid}` })));
  assert.deepEqual(fabric.spaces().sort(), deckies.map((k) => k.space).sort(), 'namespaces');
  for (const { x, d, space } of deckies) {
    const edges = d.edges.filter((e) => e.decky_uuid === x.uuid);
    assert.deepEqual(inside(space), {
      addresses: edges.map((e) => e.ip).sort(),
      links: edges.length,
      sockets: unique(x.endpoints.map((e) => `${e.proto} ${e.port}`)),
    }, `${x.name} of ${d.topology.name}`);
  }
  return true;
}

const asks = {
  http: (e) => ['curl', '-s', '--max-time', '5', '-o', '/dev/null', `http://${e.address}:${e.port}/`],
  redis: (e) => ['redis-cli', '-h', e.address, '-p', String(e.port), 'ping'],
  snmp: (e) => ['snmpget', '-v2c', '-c', 'public', '-t', '5', '-r', '0', `${e.address}:${e.port}`, '1.3.6.1.2.1.1.5.0'],
  telnet: (e) => ['timeout', '5', 'bash', '-c', `exec 3<>/dev/tcp/${e.address}/${e.port} && [ "$(head -c 1 <&3 | wc -c)" = 1 ]`],
};

/** Whether a service says something, asked from the decky's own namespace: no LAN hides it there. */
async function answers(topology, decky, e) {
  // Port 443 of http is TLS: that it is open the sockets have told.
  if (!asks[e.service] || e.port === 443) return true;
  try {
    await exec('nsenter', [`--net=${fabric.dir}/${topology}.${decky}`, ...asks[e.service](e)]);
    return true;
  } catch {
    return false;
  }
}

async function allAnswer(details) {
  for (const d of details)
    for (const x of d.deckies)
      for (const e of x.endpoints)
        if (!(await answers(d.topology.id, x.uuid, e))) throw new Error(`${x.name} of ${d.topology.name} is silent at ${e.address}:${e.port}`);
  return true;
}

const held = () => Object.fromEntries(HOLDERS.map((p) => [p, descriptors(suite.pid(p))]));

check(`${3 * OPS} random mutations on three topologies, every process killed at random`, async (t) => {
  const rng = random(Number(process.env.DECNET_SEED ?? 20261121));
  t.diagnostic(`seed ${rng.seed}`);
  const before = held();
  const nets = [await network(api, 'one'), await network(api, 'two'), await network(api, 'three')];
  for (const net of nets) await follow(api, net);
  let writers = nets.length;
  const writing = Promise.all(nets.map(async (net) => {
    net.accepted = await write(api, net, rng, OPS, SERVICES);
    writers--;
  }));
  const kills = {};
  while (writers > 0) {
    await pause(100 + rng.below(500));
    const victim = rng.pick(PROCESSES);
    await suite.kill(victim);
    kills[victim] = (kills[victim] ?? 0) + 1;
    if (rng.next() < 0.3) rng.pick(nets).follower.cut();
  }
  await writing;
  await suite.ready();
  const counts = {};
  for (const net of nets) await settle(api, net, net.accepted, counts);
  const details = await eventually('the kernel has what the rows say', async () => {
    const now = await Promise.all(nets.map(async (n) => (await api.get(n.at)).body));
    return kernelAgrees(now) && now;
  }, 60000);
  await eventually('every port answers', () => allAnswer(details), 60000);
  for (const net of nets) await foldAgrees(api, net);
  t.diagnostic(`kills ${JSON.stringify(kills)}; ${JSON.stringify(counts)}; ${details.reduce((n, d) => n + d.deckies.length, 0)} deckies; ${nets.map((n) => n.follower.lives).join(', ')} lives of the viewers`);

  for (const net of nets) await api.expect(202, 'POST', `${net.at}/teardown`);
  for (const net of nets) await eventually('it is torn down', async () => (await api.get(net.at)).body.topology.status === 'torn_down', 60000);
  assert.deepEqual(fabric.spaces(), []);
  assert.deepEqual(fabric.links(), []);
  assert.equal(fabric.enter('fabric', 'ss', '-Haltun').trim(), '');
  // A socket or a namespace that nobody wants any more would be held by one of these. SQLite keeps the descriptor of a connection that
  // was closed beside others, for the next one: as many as there are connections.
  await eventually('no descriptor is left', () => {
    assert.deepEqual(Object.entries(held()).filter(([p, n]) => n > before[p] + 6), []);
    return true;
  });
});

const kernel = () => {
  const kib = (key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))[1]);
  return { slab: kib('Slab') / 1024, unreclaimable: kib('SUnreclaim') / 1024, percpu: kib('Percpu') / 1024 };
};

check(`a decky comes and goes ${CYCLES} times: neither a process nor the kernel holds more than before`, async (t) => {
  const net = await network(api, 'cycles');
  const idle = () => eventually('the queue is empty', async () => {
    const open = await Promise.all(['pending', 'applying'].map(async (s) => (await api.get(`${net.at}/mutations?state=${s}&limit=1`)).body.total));
    return open[0] + open[1] === 0;
  }, 120000);
  const cycles = async (n) => {
    for (let i = 0; i < n; i++) {
      await api.expect(202, 'POST', `${net.at}/mutations`, { op: 'add_decky', payload: { name: 'x', lan: 'dmz', services: ['redis', 'telnet', 'snmp'] } });
      await api.expect(202, 'POST', `${net.at}/mutations`, { op: 'remove_decky', payload: { decky: 'x' } });
      if (i % 50 === 49) await idle();
    }
    await idle();
  };
  const measure = () => ({ ...kernel(), ...Object.fromEntries(PROCESSES.map((p) => [p, { fds: descriptors(suite.pid(p)), rss: rssMiB(suite.pid(p)) }])) });
  const tell = (what, m) => t.diagnostic(`${what}: slab ${m.slab.toFixed(0)} (unreclaimable ${m.unreclaimable.toFixed(0)}), percpu ${m.percpu.toFixed(0)} MiB; ${PROCESSES.map((p) => `${p} ${m[p].fds} fds ${m[p].rss.toFixed(1)} MiB`).join(', ')}`);
  await cycles(SOAK ? 500 : 20);
  const from = measure();
  tell('warm', from);
  let to = from;
  let last;
  for (let part = 1; part <= 5; part++) {
    last = to;
    await cycles(CYCLES / 5);
    to = measure();
    tell(`after ${(part * CYCLES) / 5}`, to);
  }
  await eventually('descriptors are as before', () => PROCESSES.every((p) => descriptors(suite.pid(p)) <= from[p].fds + 6), 30000);
  for (const p of PROCESSES)
    if (!sanitized(suite.pid(p))) {
      assert.ok(to[p].rss < from[p].rss + 16, `${p} grew from ${from[p].rss} to ${to[p].rss} MiB`);
      // The caches of SQLite fill, and then they are full.
      assert.ok(to[p].rss < last[p].rss + 3, `${p} still grows: ${last[p].rss} to ${to[p].rss} MiB`);
    }
  // A namespace that is kept costs some 300 KiB; the machine's other work moves a little.
  assert.ok(to.unreclaimable + to.percpu < from.unreclaimable + from.percpu + 48 + CYCLES * 0.02, 'the kernel holds more');
  assert.equal(fabric.spaces().length, 1);
  assert.equal((await api.get(net.at)).body.deckies.length, 1);
});

check('with the suite the fabric goes, too', async () => {
  const { dir } = fabric;
  suite.process.kill('SIGTERM');
  await suite.exited;
  assert.equal(existsSync(dir), false);
});
