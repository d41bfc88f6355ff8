// SPDX-License-Identifier: Apache-2.0
// Real networks: what an attacker in the DMZ sees of them with the attackers' own tools, what mutations change on the wire, and that nothing
// is left behind.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Api } from './lib/api.mjs';
import { Fabric, cannot } from './lib/fabric.mjs';
import { random } from './lib/random.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const why = cannot();
const WIRE = fileURLToPath(new URL('lib/wire.py', import.meta.url));
let suite, api, fabric, topology, attacker;

before(async () => {
  if (why) return;
  suite = await Suite.start({ DECNET_NET_DRIVER: 'netns' });
  api = await Api.admin(suite);
  fabric = new Fabric(suite);
});

after(async () => {
  attacker?.leave();
  await suite?.stop();
});

const ROUNDS = process.env.DECNET_SOAK ? 60 : 8;

const check = (name, fn) => test(name, { skip: why ?? false }, fn);

async function detail() {
  return api.expect(200, 'GET', `/topologies/${topology.id}`);
}

async function mutate(op, payload) {
  const { mutation_id } = await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, { op, payload });
  return eventually(`${op} has ended`, async () => {
    const list = await api.expect(200, 'GET', `/topologies/${topology.id}/mutations?limit=500`);
    const m = list.data.find((x) => x.id === mutation_id);
    return ['applied', 'failed', 'cancelled'].includes(m.state) ? m : null;
  });
}

async function applied(op, payload) {
  const m = await mutate(op, payload);
  assert.equal(m.state, 'applied', m.reason);
}

async function status(wanted) {
  await eventually(`the topology is ${wanted}`, async () => (await detail()).topology.status === wanted);
}

/** What the API says a LAN has: Map of address to decky. */
async function wantedOn(lanName) {
  const d = await detail();
  const lan = d.lans.find((l) => l.name === lanName);
  const names = new Map(d.deckies.map((x) => [x.uuid, x.name]));
  return new Map(d.edges.filter((e) => e.lan_id === lan.id).map((e) => [e.ip, names.get(e.decky_uuid)]));
}

/** The wire and the API agree on the LAN the attacker is on. */
async function agree(lanName, cidr) {
  const wanted = await wantedOn(lanName);
  const seen = await attacker.hosts(cidr);
  assert.deepEqual([...seen.keys()].sort(), [...wanted.keys()].sort());
  for (const nic of fabric.nics()) if (seen.has(nic.ip)) assert.equal(seen.get(nic.ip), nic.mac);
}

async function lan(name) {
  return (await detail()).lans.find((l) => l.name === name);
}

async function address(decky, lanName) {
  for (const [ip, name] of await wantedOn(lanName)) if (name === decky) return ip;
  return null;
}

/** The subnet with another last number. */
const within = (cidr, host) => cidr.replace(/\.0\/\d+$/, `.${host}`);

check('a topology is deployed on real addresses and ports', async () => {
  topology = await api.expect(201, 'POST', '/topologies/blank', { name: 'wire' });
  let d = await detail();
  const inner = await api.expect(201, 'POST', `/topologies/${topology.id}/lans`, { name: 'inner' });
  const deep = await api.expect(201, 'POST', `/topologies/${topology.id}/lans`, { name: 'deep' });
  const decky = async (name, services, lanIds, config = {}) => {
    const made = await api.expect(201, 'POST', `/topologies/${topology.id}/deckies`, { name, services, decky_config: config });
    for (const id of lanIds) await api.expect(201, 'POST', `/topologies/${topology.id}/edges`, { decky_uuid: made.uuid, lan_id: id });
  };
  const gateway = d.deckies.find((x) => x.name === 'dmz-gateway');
  await api.expect(200, 'PATCH', `/topologies/${topology.id}/deckies/${gateway.uuid}`, { services: ['telnet'] });
  await api.expect(201, 'POST', `/topologies/${topology.id}/edges`, { decky_uuid: gateway.uuid, lan_id: inner.id });
  await decky('web-01', ['http'], [d.lans[0].id], { archetype: 'windows-server' });
  await decky('db-01', ['redis', 'http'], [inner.id]);
  await decky('hop-01', ['telnet'], [inner.id, deep.id], { forwards_l3: true });
  await decky('vault-01', ['http'], [deep.id]);
  await api.expect(202, 'POST', `/topologies/${topology.id}/deploy`);
  await status('active');
  d = await detail();
  for (const x of d.deckies) {
    assert.equal(x.state, 'running');
    for (const e of x.endpoints) assert.ok(e.port < 10000 && !e.address.startsWith('127.'), JSON.stringify(e));
  }
  const hop = d.deckies.find((x) => x.name === 'hop-01');
  assert.deepEqual(hop.endpoints.map((e) => e.lan).sort(), ['deep', 'inner']);
  assert.equal(fabric.spaces().length, 5);
  assert.equal(fabric.nics().length, 7);
});

check('an attacker in the DMZ sees exactly its hosts, with the vendors of their personas', async () => {
  const dmz = await lan('dmz');
  attacker = await fabric.attacker(dmz.id, `${within(dmz.subnet, 200)}/24`);
  await agree('dmz', dmz.subnet);
  const scan = await attacker.run('arp-scan', '--interface=eth0', '--plain', '--quiet', dmz.subnet);
  const seen = scan.trim().split('\n').map((l) => l.split(/\s+/)[0]).sort();
  assert.deepEqual(seen, [...(await wantedOn('dmz')).keys()].sort());
  assert.match(await attacker.run('nmap', '-sn', '-n', dmz.subnet), /VMware|Microsoft|Hewlett/);
});

check('whether the kernel takes programs of looks is said, once and by the doctor; clocks are nobody else\'s either way', async () => {
  const said = suite.log.match(/netd\.look\.settings_only/g)?.length ?? 0;
  const line = suite.cli('doctor').split('\n').find((l) => l.includes('eBPF'));
  assert.ok(said <= 1 && (said === 1 ? /warning/ : /ok/).test(line), `${said} ${line}`);
  const d = await detail();
  const space = `${topology.id}.${d.deckies.find((x) => x.name === 'db-01').uuid}`;
  // The one clock of the machine only where the program makes it the decky's own.
  assert.equal(fabric.enter(space, 'cat', '/proc/sys/net/ipv4/tcp_timestamps').trim(), said ? '1' : '2');
});

check('exactly the ports of their services are open, and the decoys answer', async () => {
  const web = await address('web-01', 'dmz');
  assert.deepEqual(await attacker.ports(web, '1-1024,6379,8080'), [80, 443]);
  assert.deepEqual(await attacker.ports(await address('dmz-gateway', 'dmz'), '1-1024'), [23]);
  assert.match(await attacker.run('curl', '-sS', '-i', '--max-time', '10', `http://${web}/`), /^HTTP\/1\.1 \d{3}/);
});

check('the inner networks are reached through the forwarding deckies, and only so', async () => {
  const db = await address('db-01', 'inner');
  const vault = await address('vault-01', 'deep');
  assert.equal(await attacker.reaches(db, 6379), false);
  for (const name of ['inner', 'deep'])
    await attacker.run('ip', 'route', 'add', (await lan(name)).subnet, 'via', await address('dmz-gateway', 'dmz'));
  assert.match(await attacker.run('redis-cli', '-h', db, 'info', 'server'), /redis_version/);
  assert.match(await attacker.run('curl', '-sS', '-i', '--max-time', '10', `http://${vault}/`), /^HTTP\/1\.1 \d{3}/);
  const hops = (await attacker.run('traceroute', '-n', '-I', '-q', '1', '-w', '2', vault)).trim().split('\n').slice(1).map((l) => l.trim().split(/\s+/)[1]);
  assert.deepEqual(hops, [await address('dmz-gateway', 'dmz'), await address('hop-01', 'inner'), vault]);
  // Not through a decky that does not forward.
  await attacker.run('ip', 'route', 'replace', (await lan('inner')).subnet, 'via', await address('web-01', 'dmz'));
  assert.equal(await attacker.reaches(db, 6379), false);
  await attacker.run('ip', 'route', 'replace', (await lan('inner')).subnet, 'via', await address('dmz-gateway', 'dmz'));
});

check('nothing begins from a decky, whatever its namespace is used for', async () => {
  const own = await attacker.run('ip', '-j', '-4', 'addr', 'show', 'eth0');
  const target = JSON.parse(own)[0].addr_info[0].local;
  const before = fabric.dropped();
  for (const space of fabric.spaces()) {
    const inside = (script) => {
      try {
        fabric.enter(space, 'timeout', '1', 'bash', '-c', script);
        return true;
      } catch {
        return false;
      }
    };
    assert.equal(inside(`exec 3<>/dev/tcp/${target}/9`), false);
    assert.equal(inside(`traceroute -n -I -m 1 -q 1 -w 1 ${target} | grep -q ' ms'`), false);
    inside(`echo x >/dev/udp/${target}/9`);
  }
  assert.ok(fabric.dropped() > before, 'the fence has dropped nothing');
});

check('mutations change the wire', async () => {
  const dmz = await lan('dmz');
  await applied('add_decky', { name: 'late-01', lan: 'dmz', services: ['redis'] });
  await agree('dmz', dmz.subnet);
  const late = await address('late-01', 'dmz');
  assert.match(await attacker.run('redis-cli', '-h', late, 'ping'), /PONG/);
  await api.expect(201, 'POST', `/topologies/${topology.id}/deckies/late-01/services`, { name: 'telnet' });
  assert.deepEqual(await attacker.ports(late, '1-1024,6379'), [23, 6379]);
  await api.expect(200, 'DELETE', `/topologies/${topology.id}/deckies/late-01/services/redis`);
  assert.deepEqual(await attacker.ports(late, '1-1024,6379'), [23]);
  await applied('attach_decky', { decky: 'late-01', lan: 'deep' });
  const deep = await address('late-01', 'deep');
  assert.equal(await attacker.reaches(deep, 23), true);
  await applied('detach_decky', { decky: 'late-01', lan: 'deep' });
  assert.equal(await attacker.reaches(deep, 23), false);
  const echoes = async () => /Host is up/.test(await attacker.run('nmap', '-n', '-sn', '-PE', '--disable-arp-ping', late));
  assert.equal(await echoes(), true);
  await applied('remove_decky', { decky: 'late-01' });
  // Off the wire at once, also for who knows its hardware address; its link goes in a quiet moment.
  assert.equal(await echoes(), false);
  await eventually('its link is gone', async () => !fabric.nics().some((n) => n.ip === late));
  await agree('dmz', dmz.subnet);
  assert.equal(await attacker.reaches(late, 23), false);
});

check('who has an address now tells those who remember another', async () => {
  const dmz = await lan('dmz');
  const neighbour = async (ip) => JSON.parse(await attacker.run('ip', '-j', 'neigh', 'show', ip))[0]?.lladdr;
  await applied('add_decky', { name: 'first-01', lan: 'dmz', services: ['telnet'] });
  const ip = await address('first-01', 'dmz');
  await applied('remove_decky', { decky: 'first-01' });
  await agree('dmz', dmz.subnet);
  await attacker.run('ip', 'neigh', 'replace', ip, 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0', 'nud', 'reachable');
  await applied('add_decky', { name: 'second-01', lan: 'dmz', services: ['telnet'] });
  assert.equal(await address('second-01', 'dmz'), ip);
  await eventually('the new neighbour', async () => (await neighbour(ip)) !== '02:00:00:00:00:01');
  assert.equal(await attacker.reaches(ip, 23), true);
  await applied('remove_decky', { decky: 'second-01' });
  await agree('dmz', dmz.subnet);
});

check('who sends in the name of a decky does not get what is meant for it', async () => {
  const web = await address('web-01', 'dmz');
  const { ip, mac, port } = fabric.nics().find((n) => n.ip === web);
  const behind = () => JSON.parse(fabric.enter('fabric', 'bridge', '-j', 'fdb', 'show')).filter((e) => e.mac === mac).map((e) => e.ifname);
  for (let i = 0; i < 3; i++) {
    await attacker.run('python3', WIRE, 'pose', 'eth0', mac);
    assert.deepEqual(behind(), [port]);
  }
  assert.equal(await attacker.reaches(ip, 80), true);
});

check('decoys of datagrams: what was asked is answered, and nothing else leaves', async (t) => {
  await applied('add_decky', { name: 'prn-01', lan: 'dmz', services: ['snmp'], archetype: 'printer' });
  await applied('add_decky', { name: 'prn-02', lan: 'inner', services: ['snmp'], archetype: 'printer' });
  const [near, far] = [await address('prn-01', 'dmz'), await address('prn-02', 'inner')];
  const own = JSON.parse(await attacker.run('ip', '-j', '-4', 'addr', 'show', 'eth0'))[0].addr_info[0].local;
  const name = '1.3.6.1.2.1.1.5.0';
  const get = (ip, ...args) => attacker.run('snmpget', '-v2c', '-c', 'public', '-t', '5', '-r', '1', '-On', ...args, ip, name);
  assert.match(await get(near), /STRING: "?prn-01"?/);
  // Through the gateway, too, whose fence sees the question and the answer on other links.
  assert.match(await get(far), /STRING: "?prn-02"?/);
  assert.match(await attacker.run('snmpwalk', '-v1', '-c', 'public', '-t', '5', near, '1.3.6.1.2.1.1'), /JETDIRECT|HP ETHERNET/);
  const d = await detail();
  const space = `${topology.id}.${d.deckies.find((x) => x.name === 'prn-01').uuid}`;
  assert.match(fabric.enter(space, 'ss', '-Hlun'), /:161\b/);
  assert.equal(fabric.enter(space, 'ss', '-Hltn').trim(), '');

  const other = within((await lan('dmz')).subnet, 201);
  await attacker.run('ip', 'addr', 'add', `${other}/24`, 'dev', 'eth0');
  // One question of ours is known to the fence: from our port 40161 to its 161. Whoever sits in the decky's namespace may answer that, and no more.
  const arrived = async () => {
    const [, line] = (await attacker.run('grep', '^Udp:', '/proc/net/snmp')).trim().split('\n');
    const [, good, noPort] = line.split(' ').map(Number);
    return good + noPort;
  };
  await attacker.run('nping', '--udp', '-c', '1', '-g', '40161', '-p', '161', '--data-string', 'x', near);
  const send = async (from, to, target) => {
    const [before, fenced] = [await arrived(), fabric.dropped()];
    fabric.enter(space, 'nping', '--udp', '-c', '3', '--delay', '20ms', '-H', '-g', String(from), '-p', String(to), '--data-length', '8', target);
    return { came: (await arrived()) - before, dropped: fabric.dropped() - fenced };
  };
  const answer = await send(161, 40161, own);
  assert.equal(answer.came, 3, 'an answer to what was asked');
  for (const [what, from, to, target] of [
    ['to a port that has not asked', 161, 40162, own],
    ['from a port that was not asked', 162, 40161, own],
    ['to somebody who has not asked', 161, 40161, other],
    ['to another decky that has not asked', 161, 40161, await address('web-01', 'dmz')],
  ]) {
    const r = await send(from, to, target);
    t.diagnostic(`${what}: ${JSON.stringify(r)}`);
    assert.equal(r.came, 0, what);
    assert.ok(r.dropped >= 3, what);
  }

  await attacker.run('ip', 'addr', 'del', `${other}/24`, 'dev', 'eth0');

  await suite.kill('decnet-decoy --udp');
  await eventually('it answers again', async () => /prn-01/.test(await get(near)));
  await applied('remove_decky', { decky: 'prn-02' });
  await applied('remove_decky', { decky: 'prn-01' });
  await assert.rejects(get(near, '-t', '1', '-r', '0'));
});

check('a decky that stops forwarding closes the way, and opens it again', async () => {
  const vault = await address('vault-01', 'deep');
  assert.equal(await attacker.reaches(vault, 80), true);
  await applied('update_decky', { decky: 'dmz-gateway', patch: { forwards_l3: false }, force: true });
  assert.equal(await attacker.reaches(vault, 80), false);
  await applied('update_decky', { decky: 'dmz-gateway', patch: { forwards_l3: true }, force: true });
  assert.equal(await attacker.reaches(vault, 80), true);
});

check('LANs come and go', async () => {
  await applied('add_lan', { name: 'extra' });
  const extra = await lan('extra');
  assert.ok(fabric.bridge(extra.id));
  await applied('attach_decky', { decky: 'db-01', lan: 'extra' });
  await applied('remove_lan', { name: 'extra' });
  assert.equal(fabric.bridge(extra.id), undefined);
});

check('what dies is mended: decoy, mutator and netd, one after the other', async () => {
  const dmz = await lan('dmz');
  const web = await address('web-01', 'dmz');
  for (const name of ['decnet-decoy', 'decnet-netd', 'decnet-mutator', 'decnet-netd', 'decnet-decoy']) {
    await suite.kill(name);
    await eventually(`web-01 answers after the end of ${name}`, () => attacker.reaches(web, 80));
    await applied('add_decky', { name: 'phoenix', lan: 'dmz', services: ['http'] });
    await agree('dmz', dmz.subnet);
    await applied('remove_decky', { decky: 'phoenix' });
  }
  await agree('dmz', dmz.subnet);
});

check('what somebody else breaks is mended', async () => {
  const dmz = await lan('dmz');
  const web = await address('web-01', 'dmz');
  fabric.enter('fabric', 'ip', 'link', 'delete', fabric.nics().find((n) => n.ip === web).port);
  assert.equal(await attacker.reaches(web, 80), false);
  // The bridges forget whom they answer for.
  const gateway = await address('dmz-gateway', 'dmz');
  assert.equal(await attacker.reaches(gateway, 23), true);
  fabric.enter('fabric', 'ip', 'neigh', 'flush', 'nud', 'permanent');
  await attacker.run('ip', 'neigh', 'flush', 'dev', 'eth0');
  assert.equal(await attacker.reaches(gateway, 23), false);
  // Any op is followed by a pass; the next pass comes within 30 s anyway.
  await suite.kill('decnet-netd');
  await eventually('web-01 is back on the wire', () => attacker.reaches(web, 80), 60000);
  await eventually('the gateway is found again', () => attacker.reaches(gateway, 23), 60000);
  await agree('dmz', dmz.subnet);
});

check('where the names of the namespaces are taken away, all of it is made again', async () => {
  const dmz = await lan('dmz');
  const web = await address('web-01', 'dmz');
  execFileSync('umount', ['-l', fabric.dir]);
  rmSync(fabric.dir, { recursive: true, force: true });
  // Any op is followed by a pass.
  await mutate('update_decky', { decky: 'web-01', x: 7 });
  await eventually('there is a fabric again', () => fabric.bridge(dmz.id), 60000);
  attacker.leave();
  attacker = await fabric.attacker(dmz.id, `${within(dmz.subnet, 200)}/24`);
  await eventually('web-01 is back on the wire', () => attacker.reaches(web, 80), 60000);
  await agree('dmz', dmz.subnet);
  await eventually('the topology is active', async () => (await detail()).topology.status === 'active', 60000);
});

/** Namespaces, interfaces and their addresses are those of the rows; every endpoint in the DMZ answers. */
async function agreesWholly() {
  const d = await detail();
  const wanted = d.edges.map((e) => `${e.decky_uuid} ${e.lan_id} ${e.ip}`).sort();
  const there = fabric.nics().map((n) => `${n.decky} ${n.lan} ${n.ip}`).sort();
  assert.deepEqual(there, wanted);
  assert.deepEqual(fabric.spaces().sort(), d.deckies.map((x) => `${topology.id}.${x.uuid}`).sort());
  assert.equal(fabric.links().length, d.lans.length + d.edges.length);
  for (const x of d.deckies)
    for (const e of x.endpoints) if (e.lan === 'dmz' && e.proto === 'tcp') assert.equal(await attacker.reaches(e.address, e.port), true, `${x.name} ${e.address}:${e.port}`);
  assert.equal(d.topology.status, 'active');
}

check('kills at any moment of a stream of mutations: none is lost, and the wire is what the rows say', async (t) => {
  const rng = random();
  t.diagnostic(`seed ${rng.seed}`);
  const live = [];
  let names = 0;
  let writing = true;
  const send = async (op, payload) => (await api.post(`/topologies/${topology.id}/mutations`, { op, payload })).status === 202;
  const writer = (async () => {
    while (writing) {
      const roll = rng.next();
      // However long it takes, the addresses of the LAN last.
      if (live.length < 2 || (roll < 0.4 && live.length < 24)) {
        const name = `chaos-${names++}`;
        if (await send('add_decky', { name, lan: 'dmz', services: [rng.pick(['http', 'redis', 'telnet'])] })) live.push(name);
      } else if (roll < 0.6) {
        await send('attach_decky', { decky: rng.pick(live), lan: 'deep' });
      } else if (roll < 0.7) {
        await send('detach_decky', { decky: rng.pick(live), lan: 'deep' });
      } else if (roll < 0.8) {
        await send('update_decky', { decky: rng.pick(live), services: [rng.pick(['http', 'redis']), 'telnet'] });
      } else {
        const [gone] = live.splice(rng.below(live.length), 1);
        await send('remove_decky', { decky: gone });
      }
      await pause(rng.below(60));
    }
  })();
  for (let round = 0; round < ROUNDS; round++) {
    await pause(rng.below(400));
    await suite.kill(rng.pick(['decnet-netd', 'decnet-netd', 'decnet-mutator', 'decnet-decoy']), { wait: true });
  }
  writing = false;
  await writer;
  await eventually('the queue is done', async () => {
    const list = await api.expect(200, 'GET', `/topologies/${topology.id}/mutations?limit=500`);
    return list.data.every((m) => !['pending', 'applying'].includes(m.state));
  }, 120000);
  const list = await api.expect(200, 'GET', `/topologies/${topology.id}/mutations?limit=500`);
  for (const m of list.data) if (m.state === 'failed') t.diagnostic(`${m.op}: ${m.reason}`);
  await eventually('wire and rows agree', () => agreesWholly().then(() => true), 90000);
});

check('teardown leaves nothing', async () => {
  const web = await address('web-01', 'dmz');
  await api.expect(202, 'POST', `/topologies/${topology.id}/teardown`);
  await status('torn_down');
  assert.deepEqual(fabric.spaces(), []);
  assert.deepEqual(fabric.links(), []);
  assert.equal(await attacker.reaches(web, 80), false);
  const sockets = fabric.enter('fabric', 'ss', '-Htln');
  assert.equal(sockets.trim(), '');
});

check('with the suite the fabric goes, too', async () => {
  const dir = fabric.dir;
  suite.process.kill('SIGTERM');
  await suite.exited;
  assert.equal(existsSync(dir), false);
});
