// SPDX-License-Identifier: Apache-2.0
// The whole chain: from an attacker's byte to a viewer, and from a mutation to an open port and a viewer.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Suite, eventually } from './lib/suite.mjs';
import { Viewer } from './lib/sse.mjs';

let suite, api, topology, viewers;

before(async () => {
  suite = await Suite.start();
  suite.cli('demo');
  api = await Api.admin(suite);
  topology = await api.demoTopology();
  viewers = [];
});

after(async () => {
  for (const v of viewers ?? []) v.cut();
  await suite?.stop();
});

async function view(path, options = {}) {
  const v = new Viewer(suite.url, path, { token: api.token, ...options });
  viewers.push(v);
  assert.equal(await v.opened, 200);
  return v;
}

async function endpoint(service, decky) {
  const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
  for (const d of detail.deckies) if (!decky || d.name === decky) for (const e of d.endpoints) if (e.service === service) return e;
  return null;
}

/** Whether a TCP connection is accepted there. */
function answers(e) {
  return new Promise((good) => {
    const socket = connect(e.port, e.address, () => {
      socket.destroy();
      good(true);
    });
    socket.on('error', () => good(false));
  });
}

test('the demo has a DMZ with a gateway, an inner LAN and at least five running deckies', async () => {
  const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
  assert.equal(detail.topology.status, 'active');
  assert.equal(detail.lans.filter((l) => l.is_dmz).length, 1);
  assert.ok(detail.lans.length >= 2);
  assert.ok(detail.deckies.length >= 5);
  for (const d of detail.deckies) assert.equal(d.state, 'running', d.name);
  const edges = new Map();
  for (const e of detail.edges) edges.set(e.decky_uuid, (edges.get(e.decky_uuid) ?? 0) + 1);
  assert.ok([...edges.values()].some((n) => n > 1), 'no decky bridges two LANs');
});

test('curl sees a web server, and the visit reaches both streams', async () => {
  const identities = await view('/identities/events');
  const all = await view('/events', { query: { topics: 'attacker.>,identity.>' } });
  await identities.event('snapshot');
  await all.event('snapshot');
  const e = await endpoint('http');
  const text = execFileSync('curl', ['-si', '-m', '5', '--interface', '127.0.0.77', `http://${e.address}:${e.port}/`], { encoding: 'utf8' });
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(text, /\r\nServer: \S+/);
  assert.match(text, /<html/i);
  const observed = await all.wait('attacker.observed', (f) => f.event === 'attacker.observed' && f.data.payload.attacker_ip === '127.0.0.77');
  assert.deepEqual(Object.keys(observed.data).sort(), ['payload', 'topic', 'ts', 'type']);
  assert.equal(observed.data.payload.service, 'http');
  const formed = await identities.wait('formed', (f) => f.event === 'formed' && f.data.payload.observation_uuids.includes(observed.data.payload.attacker_uuid));
  assert.equal(formed.data.topic, 'identity.formed');
  const attacker = await api.expect(200, 'GET', `/attackers/${observed.data.payload.attacker_uuid}`);
  assert.equal(attacker.ip, '127.0.0.77');
  assert.equal(attacker.identity_id, formed.data.payload.identity_uuid);
});

test('redis-cli talks to a store, and its commands are kept', async () => {
  const e = await endpoint('redis');
  const run = (...args) => execFileSync('redis-cli', ['-h', e.address, '-p', String(e.port), ...args], { encoding: 'utf8' }).trim();
  assert.equal(run('ping'), 'PONG');
  assert.match(run('info', 'server'), /redis_version:\d/);
  await eventually('the command in the log', async () => {
    const logs = await api.expect(200, 'GET', '/logs?search=service:redis%20event:command');
    return logs.data.some((l) => JSON.parse(l.fields).command === 'info server');
  });
});

test('a telnet login with the known password gets a shell, and the password is kept as data', async () => {
  const e = await endpoint('telnet');
  const text = await new Promise((good, bad) => {
    let seen = '';
    const socket = connect(e.port, e.address);
    const timer = setTimeout(() => bad(new Error(`stuck after: ${JSON.stringify(seen)}`)), 15000);
    const script = [
      [/login: $/, 'root\r\n'],
      [/Password: $/, 'admin\r\n'],
      [/# $/, 'uname -a\r\n'],
      [/GNU\/Linux\r\n.*# $/s, 'exit\r\n'],
    ];
    socket.on('data', (chunk) => {
      seen += chunk.toString('latin1');
      if (script.length && script[0][0].test(seen)) socket.write(script.shift()[1]);
    });
    socket.on('close', () => {
      clearTimeout(timer);
      good(seen);
    });
    socket.on('error', bad);
  });
  assert.match(text, /Linux \S+ 6\.1\.0/);
  await eventually('auth in the log', async () => {
    const logs = await api.expect(200, 'GET', '/logs?search=service:telnet%20event:auth');
    return logs.data.some((l) => JSON.parse(l.fields).username === 'root');
  });
});

test('add_decky opens its ports, remove_decky closes them; the stream tells it in order', async () => {
  const v = await view(`/topologies/${topology.id}/events`);
  const snapshot = await v.event('snapshot');
  assert.deepEqual(Object.keys(snapshot.data).sort(), ['in_flight', 'reason', 'status', 'topology_id', 'version', 'watermark']);
  const added = await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, {
    op: 'add_decky',
    payload: { name: 'backup-01', lan: 'inner', services: ['http', 'redis'] },
  });
  assert.deepEqual(Object.keys(added).sort(), ['mutation_id', 'state', 'version']);
  await v.event('mutation.applied');
  const mine = v.rows().filter((f) => f.data.payload.mutation_id === added.mutation_id).map((f) => f.event);
  assert.deepEqual(mine, ['mutation.enqueued', 'mutation.applying', 'mutation.applied']);
  const state = v.rows().find((f) => f.event === 'decky.state');
  assert.equal(state.data.payload.state, 'running');
  assert.ok(state.id < v.rows().find((f) => f.event === 'mutation.applied').id);
  const http = await endpoint('http', 'backup-01');
  const redis = await endpoint('redis', 'backup-01');
  assert.ok(await answers(http));
  assert.ok(await answers(redis));

  const from = v.frames.length;
  await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, { op: 'remove_decky', payload: { decky: 'backup-01' } });
  await v.event('mutation.applied', { from });
  assert.equal(await answers(http), false);
  assert.equal(await answers(redis), false);
});

test('a bad payload is 422 with its field, a conflicting one 409, and neither leaves a trace', async () => {
  const before = await api.get(`/topologies/${topology.id}`);
  const queue = await api.expect(200, 'GET', `/topologies/${topology.id}/mutations?limit=500`);
  const rows = [
    [{ op: 'add_decky', payload: { name: 'x', lan: 'inner', services: ['nope'] } }, 422, 'payload.services.0'],
    [{ op: 'add_decky', payload: { name: 'Not A Name', lan: 'inner' } }, 422, 'payload.name'],
    [{ op: 'add_decky', payload: { name: 'x' } }, 422, 'payload.lan'],
    [{ op: 'add_decky', payload: { name: 'x', lan: 'inner', colour: 1 } }, 422, 'payload.colour'],
    [{ op: 'add_decky', payload: { name: 'x', lan: 'inner', service_config: { http: { response_code: 'many' } }, services: ['http'] } }, 422, 'payload.service_config.http.response_code'],
    [{ op: 'fly', payload: {} }, 422, 'op'],
    [{ payload: {} }, 422, 'op'],
    [{ op: 'add_decky', payload: { name: 'web-01', lan: 'inner' } }, 409, "decky 'web-01' already exists"],
    [{ op: 'add_decky', payload: { name: 'x', lan: 'nowhere' } }, 409, "LAN 'nowhere' not found"],
    [{ op: 'remove_decky', payload: { decky: 'ghost' } }, 409, "decky 'ghost' not found"],
    [{ op: 'remove_lan', payload: { name: 'inner' } }, 409, /home LAN of decky/],
    [{ op: 'add_lan', payload: { name: 'DMZ' } }, 409, "LAN 'DMZ' already exists"],
    [{ op: 'update_lan', payload: { name: 'inner', patch: { is_dmz: true } } }, 409, /cannot change \['is_dmz'\]/],
    [{ op: 'add_decky', payload: { name: 'x', lan: 'inner' }, expected_version: 999999 }, 409, /^Version conflict: expected 999999, current \d+$/],
  ];
  for (const [body, status, what] of rows) {
    const res = await api.post(`/topologies/${topology.id}/mutations`, body);
    assert.equal(res.status, status, `${JSON.stringify(body)}: ${JSON.stringify(res.body)}`);
    if (status === 422) assert.ok(res.body.errors.some((e) => e.field === what), JSON.stringify(res.body));
    else assert.match(res.body.detail, what instanceof RegExp ? what : new RegExp(`^${what.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`));
  }
  const then = await api.get(`/topologies/${topology.id}`);
  assert.deepEqual(then.body, before.body);
  assert.deepEqual((await api.expect(200, 'GET', `/topologies/${topology.id}/mutations?limit=500`)).data, queue.data);
});

test('teardown in the middle of a queue ends the queue, closes every port and keeps the rows; delete takes them away', async () => {
  const e = await endpoint('http');
  for (let i = 0; i < 20; i++)
    await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, { op: 'add_decky', payload: { name: `late-${i}`, lan: 'inner', services: ['http', 'redis', 'telnet'] } });
  const v = await view(`/topologies/${topology.id}/events`);
  await v.event('snapshot');
  const res = await api.expect(202, 'POST', `/topologies/${topology.id}/teardown`);
  assert.equal(res.status, 'tearing_down');
  await v.wait('torn_down', (f) => f.event === 'status' && f.data.payload.status === 'torn_down');
  assert.equal(await answers(e), false);
  const queue = await api.expect(200, 'GET', `/topologies/${topology.id}/mutations?limit=500`);
  for (const m of queue.data) assert.ok(['applied', 'failed', 'cancelled'].includes(m.state), `${m.op} is ${m.state}`);
  const ended = v.rows().filter((f) => ['mutation.applied', 'mutation.failed', 'mutation.cancelled'].includes(f.event));
  const late = queue.data.filter((m) => String(m.payload.name ?? '').startsWith('late-'));
  assert.equal(late.length, 20);
  for (const m of late) if (m.state !== 'applied') assert.equal(ended.filter((f) => f.data.payload.mutation_id === m.id).length, 1, `${m.id} ended once`);
  const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
  for (const d of detail.deckies) assert.deepEqual([d.state, d.endpoints], ['torn_down', []], d.name);
  assert.equal((await api.call('DELETE', `/topologies/${topology.id}`)).status, 204);
  await v.event('deleted');
  const bye = await v.event('bye');
  assert.deepEqual(bye.data, { reason: 'topology_deleted' });
  await v.end();
  assert.equal((await api.get(`/topologies/${topology.id}`)).status, 404);
});
