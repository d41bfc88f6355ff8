// SPDX-License-Identifier: Apache-2.0
// Who may see and do what, and that secrets stay out of the logs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Suite } from './lib/suite.mjs';
import { Viewer } from './lib/sse.mjs';

const NOBODY = '0195f000-0000-7000-8000-000000000000';
let suite, admin, viewer, topology;

before(async () => {
  // Many users log in from one address here; the limits have tests of their own.
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false' });
  suite.cli('demo');
  admin = await Api.admin(suite);
  viewer = await admin.user('analyst', 'viewer');
  topology = await admin.demoTopology();
});

after(async () => {
  await suite?.stop();
});

const open = (path, options) => new Viewer(suite.url, path, options);

test('a sixth stream of one user is a 429, and a closed one makes room', async () => {
  const streams = [];
  for (let i = 0; i < 5; i++) {
    const v = open(i % 2 ? '/identities/events' : `/topologies/${topology.id}/events`, { token: viewer.token });
    assert.equal(await v.opened, 200);
    streams.push(v);
  }
  const res = await viewer.get('/identities/events');
  assert.equal(res.status, 429);
  assert.deepEqual(res.body, { detail: 'SSE connection limit (5) reached' });
  assert.equal(res.headers.get('retry-after'), '5');
  const other = open('/identities/events', { token: admin.token });
  assert.equal(await other.opened, 200, 'the cap is each user\'s own');
  streams.pop().cut();
  let again;
  for (let i = 0; i < 100 && again?.status !== 200; i++) {
    again = open('/identities/events', { token: viewer.token });
    await again.opened;
  }
  assert.equal(again.status, 200);
  for (const v of [...streams, other, again]) v.cut();
});

test('a viewer may look but not change', async () => {
  assert.equal((await viewer.get('/topologies')).status, 200);
  for (const [method, path, body] of [
    ['POST', `/topologies/${topology.id}/mutations`, {}],
    ['POST', `/topologies/${topology.id}/teardown`, undefined],
    ['POST', '/topologies/blank', {}],
    ['DELETE', `/topologies/${topology.id}`, undefined],
    ['POST', '/config/users', {}],
  ]) {
    const res = await viewer.call(method, path, body);
    assert.equal(res.status, 403, `${method} ${path}`);
    assert.equal(res.body.detail, 'Insufficient permissions');
  }
});

test('an unknown topology is 404 only for who may see topologies', async () => {
  for (const path of [`/topologies/${NOBODY}`, `/topologies/${NOBODY}/events`, '/topologies/not-a-uuid']) {
    const stranger = await new Api(suite.url).get(path);
    assert.equal(stranger.status, 401, path);
    assert.equal(stranger.body.detail, 'Could not validate credentials');
    assert.equal(stranger.headers.get('www-authenticate'), 'Bearer');
    const known = await viewer.get(path);
    assert.equal(known.status, 404, path);
    assert.equal(known.body.detail, 'Topology not found');
  }
});

test('token and ticket open a stream by the URL; a ticket only once', async () => {
  const byToken = open('/identities/events', { query: { token: viewer.token } });
  assert.equal(await byToken.opened, 200);
  await byToken.event('snapshot');
  const { ticket, expires_in: lifetime } = await viewer.expect(200, 'POST', '/auth/sse-ticket');
  assert.match(ticket, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(lifetime, 60);
  const wrong = open(`/topologies/${NOBODY}/events`, { query: { ticket } });
  assert.equal(await wrong.opened, 404, 'a 404 does not burn it');
  const first = open('/identities/events', { query: { ticket } });
  assert.equal(await first.opened, 200);
  const second = open('/identities/events', { query: { ticket } });
  assert.equal(await second.opened, 401);
  byToken.cut();
  first.cut();
});

test('must-change shuts everything but the change itself', async () => {
  await admin.expect(200, 'POST', '/config/users', { username: 'fresh', password: 'password-number-one' });
  const fresh = await Api.login(suite.url, 'fresh', 'password-number-one');
  assert.equal(fresh.mustChange, true);
  const res = await fresh.get('/topologies');
  assert.equal(res.status, 403);
  assert.equal(res.body.detail, 'Password change required before accessing this resource');
});

test('a stream ends with its user: logout, role change, deletion', async () => {
  const [leaver, changed, deleted] = [await admin.user('leaver', 'viewer'), await admin.user('changed', 'viewer'), await admin.user('deleted', 'viewer')];
  const config = await admin.expect(200, 'GET', '/config');
  const uuid = (name) => config.users.find((u) => u.username === name).uuid;
  for (const [who, act, reason] of [
    [leaver, () => leaver.expect(200, 'POST', '/auth/logout'), 'revoked'],
    [changed, () => admin.expect(200, 'PUT', `/config/users/${uuid('changed')}/role`, { role: 'admin' }), 'role_changed'],
    [deleted, () => admin.expect(200, 'DELETE', `/config/users/${uuid('deleted')}`), 'revoked'],
  ]) {
    const v = open('/identities/events', { token: who.token });
    assert.equal(await v.opened, 200);
    await v.event('snapshot');
    await act();
    const bye = await v.event('bye');
    assert.deepEqual(bye.data, { reason });
    await v.end();
    assert.equal((await who.get('/topologies')).status, 401);
  }
});

test('stopping the suite says bye', async () => {
  const v = open('/identities/events', { token: admin.token });
  assert.equal(await v.opened, 200);
  await v.event('snapshot');
  const stopped = suite.stop();
  const bye = await v.event('bye');
  assert.deepEqual(bye.data, { reason: 'shutdown' });
  await v.end();
  await stopped;
  assert.equal((await suite.exited).code, 0);
});

test('no token, ticket or password is in any log line', () => {
  for (const secret of [viewer.token, admin.token, 'password-number', 'of-the-tests', 'ticket=', 'token=']) {
    const at = suite.log.indexOf(secret);
    assert.equal(at, -1, `found: ${suite.log.slice(Math.max(0, at - 80), at + 40)}`);
  }
  assert.ok(suite.log.length > 0);
});
