// SPDX-License-Identifier: Apache-2.0
// Each step of the driver fails in turn, by causes that are real (a port that is taken, no descriptor left, a decoy that dies): nothing is left of the op.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { listening, listeningAll, told } from './lib/listening.mjs';
import { Viewer } from './lib/sse.mjs';
import { sql } from './lib/store.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const SERVICES = ['http', 'redis', 'telnet'];
const PORTS = [80, 443, 6379, 23];
let suite, admin, id, at, viewer;

const show = () => admin.expect(200, 'GET', at);
const plain = ({ topology, ...rest }) => rest;
const status = (wanted, path = at) => eventually(`${path} is ${wanted}`, async () => (await admin.expect(200, 'GET', path)).topology.status === wanted, 45000);
const mutation = async (mid) => (await admin.expect(200, 'GET', `${at}/mutations?limit=500`)).data.find((m) => m.id === mid);
const ended = (mid) => eventually('it ends', async () => {
  const row = await mutation(mid);
  return !['pending', 'applying'].includes(row.state) && row;
}, 60000);
const enqueue = async (op, payload) => (await admin.expect(202, 'POST', `${at}/mutations`, { op, payload })).mutation_id;
const offset = () => Number(suite.env.DECNET_PORT_OFFSET);

before(async () => {
  suite = await Suite.start();
  admin = await Api.admin(suite);
  ({ id } = await admin.expect(201, 'POST', '/topologies/blank', { name: 'undo' }));
  at = `/topologies/${id}`;
  const { lans: [dmz] } = await show();
  const web = await admin.expect(201, 'POST', `${at}/deckies`, { name: 'web', services: ['http'] });
  await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: web.uuid, lan_id: dmz.id });
  await admin.expect(202, 'POST', `${at}/deploy`);
  await status('active');
  viewer = new Viewer(suite.url, `${at}/events`, { token: admin.token });
  await viewer.event('snapshot');
});

after(async () => {
  viewer?.cut();
  await suite?.stop();
});

/** The kernel and REST agree, and everything that is told listens. */
const agree = () => eventually('ports and rows agree', async () => JSON.stringify(listeningAll(suite)) === JSON.stringify(told([await show()])), 45000);

/** The next address that the loopback driver will give. */
async function nextAddress() {
  const { deckies } = await show();
  const decky = await enqueue('add_decky', { name: 'look', lan: 'dmz', services: ['redis'] });
  assert.equal((await ended(decky)).state, 'applied');
  const { address } = (await show()).deckies.find((d) => d.name === 'look').endpoints[0];
  assert.equal((await ended(await enqueue('remove_decky', { decky: 'look' }))).state, 'applied');
  assert.equal((await show()).deckies.length, deckies.length);
  return address;
}

const occupy = (address, port) => new Promise((good, bad) => {
  const server = createServer();
  server.once('error', bad);
  server.listen(port, address, () => good(server.unref()));
});

/** Frames of this op and what followed: in order, none of a decky. */
async function frames(mid, reason) {
  const failed = await viewer.wait('failed is told', (f) => f.event === 'mutation.failed' && f.data.payload.mutation_id === mid);
  assert.deepEqual(Object.keys(failed.data.payload).sort(), ['applied_at', 'mutation_id', 'op', 'reason', 'version']);
  assert.equal(failed.data.payload.reason, reason);
  const own = viewer.frames.filter((f) => f.data?.payload?.mutation_id === mid).map((f) => f.event);
  assert.deepEqual([own[0], own.at(-1)], ['mutation.enqueued', 'mutation.failed']);
  assert.ok(own.slice(1, -1).every((e) => e === 'mutation.applying') && own.length >= 3, own.join());
  const from = viewer.frames.findIndex((f) => f.event === 'mutation.applying' && f.data.payload.mutation_id === mid);
  const to = viewer.frames.indexOf(failed);
  assert.deepEqual(viewer.frames.slice(from + 1, to).filter((f) => f.event?.startsWith('decky.')), [], 'no state of a decky between');
}

/** Runs an op that must fail, and finds no trace of it. */
async function failsWithoutTrace(op, payload, wanted, inTheWay) {
  const was = plain(await show());
  const ports = listeningAll(suite);
  const { version } = (await show()).topology;
  const release = await inTheWay();
  let row;
  try {
    row = await ended(await enqueue(op, payload));
    assert.equal(row.state, 'failed', JSON.stringify(row));
    assert.match(row.reason, wanted);
    assert.ok(row.applied_at);
    assert.deepEqual(plain(await show()), was, 'rows are as they were');
    await eventually('ports are as they were', () => JSON.stringify(listeningAll(suite)) === JSON.stringify(ports));
    const { topology } = await show();
    assert.deepEqual([topology.status, topology.version], ['degraded', version + 2], 'counted when it came and when it failed');
    await frames(row.id, row.reason);
    await viewer.wait('degraded is told', (f) => f.event === 'status' && f.data.payload.status === 'degraded' && f.data.payload.reason === `${op} failed: ${row.reason}`);
  } finally {
    await release();
  }
  // The way back: the next op, and a reconcile that finds no difference.
  assert.equal((await ended(await enqueue('update_lan', { name: 'dmz' }))).state, 'applied');
  await status('active');
  await agree();
  return row;
}

test('a port that is taken, at each step of a new decky', async () => {
  const address = await nextAddress();
  for (const port of PORTS) {
    const number = port + offset();
    await failsWithoutTrace('add_decky', { name: 'new', lan: 'dmz', services: SERVICES }, new RegExp(`^Driver: .*${address.replaceAll('.', '\\.')}:${number}: Address already in use$`), async () => {
      const server = await occupy(address, number);
      return () => new Promise((good) => server.close(good));
    });
  }
  assert.equal((await ended(await enqueue('add_decky', { name: 'new', lan: 'dmz', services: SERVICES }))).state, 'applied');
  const { deckies } = await show();
  assert.deepEqual([...new Set(deckies.find((d) => d.name === 'new').endpoints.map((e) => e.address))], [address], 'the address was given back each time');
  await agree();
});

test('a port that is taken, in a change of services: what was there stays', async () => {
  const web = (await show()).deckies.find((d) => d.name === 'web');
  const { address } = web.endpoints[0];
  for (const [services, port] of [[['redis'], 6379], [['redis', 'telnet'], 23], [['http', 'telnet', 'redis'], 6379]]) {
    await failsWithoutTrace('update_decky', { decky: 'web', services }, /^Driver: .*Address already in use$/, async () => {
      const server = await occupy(address, port + offset());
      return () => new Promise((good) => server.close(good));
    });
    const page = web.endpoints.find((e) => e.service === 'http');
    assert.equal((await fetch(`http://${page.address}:${page.port}/`)).status, 200, 'the service that would have gone is there');
  }
  const server = await occupy(address, 6379 + offset());
  try {
    const res = await admin.post(`${at}/deckies/web/services`, { name: 'redis' });
    assert.equal(res.status, 502, JSON.stringify(res.body));
    assert.deepEqual(Object.keys(res.body).sort(), ['detail', 'mutation_id']);
    const row = await mutation(res.body.mutation_id);
    assert.equal(res.body.detail, `Service change failed: ${row.reason}`);
    assert.match(row.reason, /^Driver: .*Address already in use$/);
    assert.deepEqual((await show()).deckies.find((d) => d.name === 'web').services, ['http']);
  } finally {
    await new Promise((good) => server.close(good));
  }
  assert.deepEqual((await admin.expect(201, 'POST', `${at}/deckies/web/services`, { name: 'redis' })).services, ['http', 'redis']);
  await status('active');
  await agree();
});

/** A process that can open `n` more descriptors. */
function allow(name, n) {
  const pid = suite.pid(name);
  const used = readdirSync(`/proc/${pid}/fd`).map(Number);
  const free = Array.from({ length: 4096 }, (_, i) => i).filter((i) => !used.includes(i));
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${free[n]}:`]);
  return () => execFileSync('prlimit', ['--pid', String(pid), '--nofile=1024:']);
}

test('no descriptor left in the mutator, at each step', async () => {
  for (let n = 0; n < PORTS.length; n++) await failsWithoutTrace('add_decky', { name: 'more', lan: 'dmz', services: SERVICES }, /^Driver: .*Too many open files/, async () => allow('decnet-mutator', n));
  assert.equal((await ended(await enqueue('add_decky', { name: 'more', lan: 'dmz', services: SERVICES }))).state, 'applied');
  await agree();
  assert.equal((await ended(await enqueue('remove_decky', { decky: 'more' }))).state, 'applied');
  await agree();
});

test('the decoy dies in the middle: wholly or not at all', async () => {
  for (const op of [['add_decky', { name: 'mid', lan: 'dmz', services: SERVICES }], ['update_decky', { decky: 'web', services: ['telnet'] }], ['remove_decky', { decky: 'new' }]]) {
    const pid = suite.pid('decnet-decoy');
    process.kill(pid, 'SIGSTOP');
    const mid = await enqueue(...op);
    await eventually('it is applying', async () => (await mutation(mid)).state !== 'pending');
    process.kill(pid, 'SIGKILL');
    const row = await ended(mid);
    assert.ok(row.state === 'applied' || /^Driver: /.test(row.reason), JSON.stringify(row));
    const { deckies } = await show();
    const done = { add_decky: deckies.some((d) => d.name === 'mid'), update_decky: deckies.find((d) => d.name === 'web').services.join() === 'telnet', remove_decky: !deckies.some((d) => d.name === 'new') }[op[0]];
    assert.equal(done, row.state === 'applied', JSON.stringify(row));
    await agree();
    await eventually('the decoy itself listens', () => JSON.stringify(listening(suite.pid('decnet-decoy'))) === JSON.stringify(listeningAll(suite)));
  }
  assert.equal((await ended(await enqueue('update_lan', { name: 'dmz' }))).state, 'applied');
  await status('active');
});

test('the mutator dies in the middle: another finishes it, once', async () => {
  const decoy = suite.pid('decnet-decoy');
  process.kill(decoy, 'SIGSTOP');
  let mid;
  try {
    mid = await enqueue('add_decky', { name: 'taken', lan: 'dmz', services: SERVICES });
    await eventually('it is applying', async () => (await mutation(mid)).state === 'applying');
    await suite.kill('decnet-mutator');
  } finally {
    process.kill(decoy, 'SIGCONT');
  }
  const row = await ended(mid);
  assert.equal(row.state, 'applied', JSON.stringify(row));
  await viewer.wait('applied is told', (f) => f.event === 'mutation.applied' && f.data.payload.mutation_id === mid);
  const own = viewer.frames.filter((f) => f.data?.payload?.mutation_id === mid);
  assert.deepEqual(own.map((f) => f.event), ['mutation.enqueued', ...Array(own.length - 2).fill('mutation.applying'), 'mutation.applied']);
  assert.deepEqual(own.filter((f) => f.event === 'mutation.applying').map((f) => f.data.payload.attempt), Array.from({ length: own.length - 2 }, (_, i) => i + 1));
  await agree();
});

test('the third loss of the lease is the end of it', async () => {
  const was = plain(await show());
  const decoy = suite.pid('decnet-decoy');
  process.kill(decoy, 'SIGSTOP');
  let mid;
  try {
    mid = await enqueue('add_decky', { name: 'thrice', lan: 'dmz', services: ['redis'] });
    await eventually('it is applying', async () => (await mutation(mid)).state === 'applying');
    // Two more losses would look like this one; a minute of leases is not waited for.
    sql(suite, `UPDATE mutations SET attempt = 3 WHERE id = '${mid}';`);
    await suite.kill('decnet-mutator');
  } finally {
    process.kill(decoy, 'SIGCONT');
  }
  const row = await ended(mid);
  assert.deepEqual([row.state, row.reason], ['failed', 'Timeout: lease lost 3 times']);
  assert.deepEqual(plain(await show()), was);
  await agree();
  assert.equal((await ended(await enqueue('update_lan', { name: 'dmz' }))).state, 'applied');
  await status('active');
});

test('a subnet that somebody took while the op waited: a conflict when its turn comes', async () => {
  const pid = suite.pid('decnet-mutator');
  process.kill(pid, 'SIGSTOP');
  let mid;
  try {
    mid = await enqueue('add_lan', { name: 'late', subnet: '10.77.0.0/24' });
    const other = await admin.expect(201, 'POST', '/topologies/blank', { name: 'quick' });
    await admin.expect(201, 'POST', `/topologies/${other.id}/lans`, { name: 'first', subnet: '10.77.0.0/25' });
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  const row = await ended(mid);
  assert.deepEqual([row.state, row.reason], ['failed', "Conflict: subnet 10.77.0.0/24 overlaps LAN 'first' of topology 'quick'"]);
  await frames(mid, row.reason);
  assert.ok(!(await show()).lans.some((l) => l.name === 'late'));
});

test('a deploy that fails is undone; its topology can be torn down and deleted', async () => {
  const address = await nextAddress();
  const one = await admin.expect(201, 'POST', '/topologies/blank', { name: 'doomed' });
  const path = `/topologies/${one.id}`;
  const { lans: [dmz] } = await admin.expect(200, 'GET', path);
  for (const name of ['a', 'b']) {
    const d = await admin.expect(201, 'POST', `${path}/deckies`, { name, services: SERVICES });
    await admin.expect(201, 'POST', `${path}/edges`, { decky_uuid: d.uuid, lan_id: dmz.id });
  }
  const ports = listeningAll(suite);
  // Each decky of the topology has an address of its own, the gateway too: somewhere among them a port is taken.
  const [a, b, c, d] = address.split('.').map(Number);
  const servers = await Promise.all([0, 1, 2].map((i) => occupy([a, b, c, d + i].join('.'), 23 + offset())));
  try {
    await admin.expect(202, 'POST', `${path}/deploy`);
    await status('failed', path);
    const after = await admin.expect(200, 'GET', path);
    for (const x of after.deckies) assert.deepEqual([x.state === 'running', x.endpoints], [false, []], JSON.stringify(x));
    const [event] = await admin.expect(200, 'GET', `${path}/status-events`);
    assert.deepEqual([event.from_status, event.to_status], ['deploying', 'failed']);
    assert.match(event.reason, /Address already in use/);
    await eventually('ports are as they were', () => JSON.stringify(listeningAll(suite)) === JSON.stringify(ports));
  } finally {
    for (const s of servers) await new Promise((good) => s.close(good));
  }
  await admin.expect(202, 'POST', `${path}/teardown`);
  await status('torn_down', path);
  await admin.expect(204, 'DELETE', path);
  assert.equal(await nextAddress(), address, 'its addresses are free again');
});
