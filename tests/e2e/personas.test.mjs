// SPDX-License-Identifier: Apache-2.0
// TCP/IP personas on the wire: what nmap takes a decky for, whose clock it has, and that ordinary clients notice nothing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Api } from './lib/api.mjs';
import { Fabric, cannot } from './lib/fabric.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const WIRE = fileURLToPath(new URL('lib/wire.py', import.meta.url));
const MEGABYTES = 10 << 20;
const kinds = {
  bench: { archetype: 'windows-workstation', family: /^Windows 10/, os: 'Windows' },
  files: { archetype: 'windows-server', family: /^Windows Server 2016|^Windows 2016/, os: 'Windows' },
  shell: { archetype: 'linux-server', family: /^Linux [45]/, os: 'Linux' },
  shop: { archetype: 'web-server', family: /^Linux [45]/, os: 'Linux' },
  sensor: { archetype: 'iot-device', family: /./, os: 'embedded' },
};
const clocked = ['files', 'shell', 'shop', 'dmz-gateway'];

let why = cannot();
let suite, api, fabric, topology, attacker, dmz;

before(async () => {
  if (why) return;
  suite = await Suite.start({ DECNET_NET_DRIVER: 'netns' });
  api = await Api.admin(suite);
  fabric = new Fabric(suite);
  if (suite.log.includes('netd.look.settings_only')) why = 'the kernel takes no eBPF programs here';
  if (why) return;
  topology = await api.expect(201, 'POST', '/topologies/blank', { name: 'looks' });
  const d = await detail();
  dmz = d.lans[0];
  const inner = await api.expect(201, 'POST', `/topologies/${topology.id}/lans`, { name: 'inner' });
  const edge = (decky_uuid, lan_id) => api.expect(201, 'POST', `/topologies/${topology.id}/edges`, { decky_uuid, lan_id });
  const decky = (name, archetype) => api.expect(201, 'POST', `/topologies/${topology.id}/deckies`, { name, services: ['http'], decky_config: { archetype } });
  const gateway = d.deckies.find((x) => x.name === 'dmz-gateway');
  await api.expect(200, 'PATCH', `/topologies/${topology.id}/deckies/${gateway.uuid}`, { services: ['http'] });
  await edge(gateway.uuid, inner.id);
  for (const [name, kind] of Object.entries(kinds)) await edge((await decky(name, kind.archetype)).uuid, dmz.id);
  await edge((await decky('behind', 'windows-server')).uuid, inner.id);
  await api.expect(202, 'POST', `/topologies/${topology.id}/deploy`);
  await eventually('the topology is active', async () => (await detail()).topology.status === 'active');
  attacker = await fabric.attacker(dmz.id, dmz.subnet.replace(/\.0\/\d+$/, '.200/24'));
  const lan = (await detail()).lans.find((l) => l.name === 'inner');
  await attacker.run('ip', 'route', 'add', lan.subnet, 'via', await address('dmz-gateway'));
});

after(async () => {
  attacker?.leave();
  await suite?.stop();
});

const check = (name, fn) => test(name, (t) => (why ? t.skip(why) : fn(t)));
const detail = () => api.expect(200, 'GET', `/topologies/${topology.id}`);

async function address(name, lan = 'dmz') {
  const d = await detail();
  return d.edges.find((e) => e.decky_uuid === d.deckies.find((x) => x.name === name).uuid && e.lan_id === d.lans.find((l) => l.name === lan).id).ip;
}

async function applied(op, payload) {
  const { mutation_id } = await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, { op, payload });
  await eventually(`${op} is applied`, async () => {
    const list = await api.expect(200, 'GET', `/topologies/${topology.id}/mutations?limit=500`);
    const m = list.data.find((x) => x.id === mutation_id);
    assert.notEqual(m.state, 'failed', m.reason);
    return m.state === 'applied';
  });
}

/** nmap's best match: {name, accuracy, families}. */
async function looksLike(ip) {
  const xml = await attacker.run('nmap', '-O', '-n', '-Pn', '-p', '79-81', '--osscan-guess', '-oX', '-', ip);
  const match = /<osmatch name="([^"]*)" accuracy="(\d+)"[^>]*>([\s\S]*?)<\/osmatch>/.exec(xml);
  assert.ok(match, xml);
  return { name: match[1], accuracy: Number(match[2]), families: [...match[3].matchAll(/osfamily="([^"]*)"/g)].map((m) => m[1]), xml };
}

async function agrees(ip, kind) {
  const seen = await looksLike(ip);
  assert.ok(seen.families.includes(kind.os), `${seen.name}: ${seen.families}`);
  assert.match(seen.name.replace(/^Microsoft /, ''), kind.family);
  assert.ok(seen.accuracy >= 95, `${seen.name} ${seen.accuracy}`);
  return seen;
}

/** Every time stamp of some connections, less the time when it was seen: one number, or the peer has many clocks. */
async function clock(ip) {
  const seen = JSON.parse(await attacker.run('python3', WIRE, 'stamps', ip, '80', '5'));
  const zeros = seen.map((p) => (p.stamp - p.at) >>> 0);
  const flags = seen.reduce((all, p) => all | p.flags, 0);
  assert.ok(seen.length >= 15 && flags & 0x02 && flags & 0x08, JSON.stringify(seen));
  for (const zero of zeros) assert.ok(apart(zero, zeros[0]) < 500, JSON.stringify(seen));
  return zeros[0];
}

const apart = (a, b) => Math.min((a - b) >>> 0, (b - a) >>> 0);

async function sameClock(a, b) {
  assert.ok(apart(await a, await b) < 500);
}

/** An echo in a decky's namespace; `stop` ends it. */
async function echoIn(name) {
  const d = await detail();
  const space = join(fabric.dir, `${topology.id}.${d.deckies.find((x) => x.name === name).uuid}`);
  const server = spawn('nsenter', [`--net=${space}`, 'python3', WIRE, 'serve', '7007'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((good) => server.stdout.once('data', good));
  return { space, stop: () => server.kill('SIGKILL') };
}

const echo = async (name, bytes, pause = 0) => attacker.run('python3', WIRE, 'echo', await address(name), '7007', String(bytes), String(pause));

const sumErrors = (text) => Number(/TcpInCsumErrors\s+(\d+)/.exec(text)[1]);

for (const [name, kind] of Object.entries(kinds)) {
  check(`nmap takes ${name} (${kind.archetype}) for what it is`, async (t) => {
    const seen = await agrees(await address(name), kind);
    t.diagnostic(`${seen.name} ${seen.accuracy} %`);
  });
}

check('also behind a router, which changes nothing that is not its own', async () => {
  await agrees(await address('behind', 'inner'), kinds.files);
  await agrees(await address('dmz-gateway'), kinds.shell);
});

check('each decky has a clock, the same on all of its addresses, and no two the same', async () => {
  const clocks = new Map();
  for (const name of clocked) clocks.set(name, await clock(await address(name)));
  clocks.set('behind', await clock(await address('behind', 'inner')));
  await sameClock(clocks.get('dmz-gateway'), clock(await address('dmz-gateway', 'inner')));
  const all = [...clocks];
  for (const [i, [a, x]] of all.entries()) for (const [b, y] of all.slice(0, i)) assert.ok(apart(x, y) > 1000, `${a} and ${b} have one clock`);
});

check('systems without time stamps show none', async () => {
  for (const name of ['bench', 'sensor']) assert.equal(await attacker.run('python3', WIRE, 'stamps', await address(name), '80', '2'), '[]\n');
});

check('Linux is slow to say that ports are closed, others are not', async () => {
  // Fewer than the kernel under all of them would let go at once.
  const told = async (name) => Number(await attacker.run('python3', WIRE, 'closed', await address(name), '30'));
  const slow = await told('shell');
  assert.ok(slow < 15, String(slow));
  for (const name of ['bench', 'files', 'sensor']) {
    const n = await told(name);
    assert.ok(n > 20, `${name} ${n}`);
  }
});

for (const plain of [false, true]) {
  check(`ten megabytes there and back are whole${plain ? ', with checksums made and checked by the kernels' : ''}`, async () => {
    for (const name of Object.keys(kinds)) {
      const server = await echoIn(name);
      const inside = (...args) => fabric.enter(server.space.slice(fabric.dir.length + 1), ...args);
      try {
        if (plain) {
          inside('python3', WIRE, 'plain', 'eth0');
          await attacker.run('python3', WIRE, 'plain', 'eth0');
        }
        await echo(name, MEGABYTES);
        assert.equal(sumErrors(await attacker.run('nstat', '-asz', 'TcpInCsumErrors')), 0);
        assert.equal(sumErrors(inside('nstat', '-asz', 'TcpInCsumErrors')), 0);
      } finally {
        server.stop();
      }
    }
  });
}

check('the window scale that is told is the one that is used', async () => {
  const server = await echoIn('bench');
  try {
    const transfer = echo('bench', 20 << 20, 3);
    // Windows are told in units of 256 bytes; what is in flight would not fit otherwise.
    await eventually('ss shows the scale', async () => {
      const text = await attacker.run('ss', '-tin', 'dport', '=', ':7007');
      return /wscale:8,/.test(text) && !/\bts\b/.test(text);
    }, 5000);
    await transfer;
  } finally {
    server.stop();
  }
});

check('a client of curl sees a page', async () => {
  for (const name of [...Object.keys(kinds), 'dmz-gateway'])
    assert.match(await attacker.run('curl', '-sS', '-i', '--max-time', '10', `http://${await address(name)}/`), /^HTTP\/1\.1 \d{3}/);
});

check('looks and connections outlive decnet-netd, and the clock goes on', async () => {
  const before = await clock(await address('shell'));
  const server = await echoIn('shell');
  try {
    let open = true;
    const transfer = echo('shell', 4 << 20, 300).finally(() => { open = false; });
    await suite.kill('decnet-netd');
    await eventually('decnet-netd is back', () => applied('update_decky', { decky: 'sensor', x: 1, y: 2 }).then(() => true), 30000);
    assert.ok(open, 'the transfer was over before');
    await transfer;
  } finally {
    server.stop();
  }
  await sameClock(before, clock(await address('shell')));
  for (const name of ['bench', 'files']) await agrees(await address(name), kinds[name]);
});

check('what somebody else takes off is put on again', async () => {
  const ip = await address('bench');
  const { port } = fabric.nics().find((n) => n.ip === ip);
  const tc = (...words) => fabric.enter('fabric', 'tc', ...words);
  const filters = (way) => tc('filter', 'show', 'dev', port, way);
  const whole = () => /decnet_out/.test(filters('ingress')) && /decnet_in/.test(filters('egress'));
  assert.ok(whole());
  let n = 0;
  for (const [what, way] of [
    [['qdisc', 'del', 'dev', port, 'clsact'], 'ingress'],
    [['filter', 'del', 'dev', port, 'ingress'], 'ingress'],
    [['filter', 'del', 'dev', port, 'egress'], 'egress'],
  ]) {
    tc(...what);
    assert.equal(filters(way), '');
    await applied('add_lan', { name: `any-${n++}` });
    await eventually(`the programs are back after ${what.join(' ')}`, whole, 40000);
  }
  await agrees(ip, kinds.bench);
});

check('a decky that becomes another system looks like it', async () => {
  await applied('update_decky', { decky: 'bench', patch: { archetype: 'iot-device' } });
  await eventually('nmap sees the other system', async () => (await agrees(await address('bench'), kinds.sensor), true), 30000);
});
