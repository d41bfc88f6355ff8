// SPDX-License-Identifier: Apache-2.0
// Two gateways on one store count together: tickets, stream slots and rate limits are the same at both, and outlive each of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Gateway, postFrom } from './lib/gateway.mjs';
import { Viewer } from './lib/sse.mjs';
import { WriteLock, value } from './lib/store.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const CAP = 3;
const LEASE_MS = 5000;
const AT_ONCE = 25;
let suite, admin, second, viewer;

const cap = { detail: `SSE connection limit (${CAP}) reached` };
const ticketOf = async (api) => (await api.expect(200, 'POST', '/auth/sse-ticket')).ticket;
const by = (url, ticket, path = '/identities/events') => new Viewer(url, path, { query: { ticket } });
const at = (url, token = viewer.token) => new Viewer(url, '/identities/events', { token });
const there = () => new Api(second.url, viewer.token);

async function open(v) {
  assert.equal(await v.opened, 200);
  await v.event('snapshot');
  return v;
}

/** The answer of a stream that is refused. */
async function refused(url, { query = {}, token, path = '/identities/events' } = {}) {
  const target = new URL(`${url}/api/v1${path}`);
  for (const [k, v] of Object.entries(query)) target.searchParams.set(k, v);
  const res = await fetch(target, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  return { status: res.status, body: await res.json(), retry: res.headers.get('retry-after') };
}

/** Cuts them, and waits until none is counted any more. */
async function closed(...viewers) {
  for (const v of viewers) v.cut();
  await eventually('all slots are free', () => value(suite, 'SELECT coalesce(sum(n), 0) FROM stream_slots') === 0);
}

before(async () => {
  suite = await Suite.start({ DECNET_API_WORKERS: '2', DECNET_SSE_MAX_PER_USER: String(CAP), DECNET_LIMITER_ENABLED: 'true' });
  admin = await Api.admin(suite);
  viewer = await admin.user('viewer', 'viewer');
});

after(async () => {
  await second?.stop();
  await suite?.stop();
});

test('what there was before the second gateway came counts there', async () => {
  const ticket = await ticketOf(viewer);
  const first = [await open(at(suite.url)), await open(at(suite.url))];
  second = await Gateway.start(suite);
  const third = await open(by(second.url, ticket));
  for (const url of [suite.url, second.url]) {
    assert.deepEqual(await refused(url, { token: viewer.token }), { status: 429, body: cap, retry: '5' });
    assert.equal((await refused(url, { query: { ticket } })).status, 401);
  }
  await closed(...first, third);
});

test('a ticket is good at any gateway, once', async () => {
  for (const [made, used] of [
    [viewer, second.url],
    [there(), suite.url],
    [there(), second.url],
    [viewer, suite.url],
  ]) {
    const ticket = await ticketOf(made);
    assert.equal(ticket.length, 43);
    const v = await open(by(used, ticket));
    for (const url of [suite.url, second.url]) assert.equal((await refused(url, { query: { ticket } })).status, 401);
    await closed(v);
  }
});

test('who guesses tickets does not get as far as the write lock', async () => {
  const lock = await WriteLock.take(suite);
  try {
    for (const ticket of ['A'.repeat(43), 'A'.repeat(42), ''])
      for (const url of [suite.url, second.url]) assert.equal((await refused(url, { query: { ticket } })).status, 401, `'${ticket}'`);
  } finally {
    await lock.release();
  }
});

test('of two at once with one ticket one wins', async () => {
  for (let i = 0; i < AT_ONCE; i++) {
    const ticket = await ticketOf(i % 2 ? viewer : there());
    const both = [by(suite.url, ticket), by(second.url, ticket)];
    const statuses = await Promise.all(both.map((v) => v.opened));
    assert.deepEqual([...statuses].sort(), [200, 401], `round ${i}`);
    await closed(...both);
  }
});

test('a ticket that was refused for another reason is still good, at the other gateway too', async () => {
  const ticket = await ticketOf(viewer);
  const nobody = '/attackers/00000000-0000-7000-8000-000000000000/events';
  assert.equal((await refused(second.url, { query: { ticket }, path: nobody })).status, 404);
  assert.equal((await refused(suite.url, { query: { ticket, topics: '>' }, path: '/events' })).status, 422);
  const all = [await open(at(suite.url)), await open(at(second.url)), await open(at(second.url))];
  assert.equal((await refused(second.url, { query: { ticket } })).status, 429);
  assert.equal((await refused(suite.url, { query: { ticket } })).status, 429);
  all.pop().cut();
  const v = await eventually('it opens', async () => {
    const x = by(suite.url, ticket);
    if ((await x.opened) === 200) return x;
    assert.equal(x.status, 429);
    return null;
  });
  await closed(v, ...all);
});

test('one cap over both', async () => {
  const all = [];
  for (let i = 0; i < CAP; i++) all.push(await open(at(i % 2 ? suite.url : second.url)));
  for (const url of [suite.url, second.url]) assert.deepEqual(await refused(url, { token: viewer.token }), { status: 429, body: cap, retry: '5' });
  // Another user has slots of his own.
  (await open(at(second.url, admin.token))).cut();
  // Many at once, at both: as many as there is room for, whoever they are.
  for (let round = 0; round < 5; round++) {
    await closed(...all.splice(0));
    const crowd = Array.from({ length: 4 * CAP }, (_, i) => at(i % 2 ? suite.url : second.url));
    const statuses = await Promise.all(crowd.map((v) => v.opened));
    assert.equal(statuses.filter((s) => s === 200).length, CAP, statuses.join());
    assert.equal(statuses.filter((s) => s === 429).length, 3 * CAP, statuses.join());
    all.push(...crowd);
  }
  await closed(...all);
});

test('slots of a killed gateway are free when its lease ends, or when it is back', async () => {
  const all = [];
  for (let i = 0; i < CAP; i++) all.push(await open(at(second.url)));
  assert.equal((await refused(suite.url, { token: viewer.token })).status, 429);
  await second.stop('SIGKILL');
  const began = Date.now();
  assert.equal((await refused(suite.url, { token: viewer.token })).status, 429);
  const v = await eventually('a slot', async () => {
    const x = at(suite.url);
    return (await x.opened) === 200 ? x : null;
  });
  assert.ok(Date.now() - began < LEASE_MS + 1500, `after ${Date.now() - began} ms`);
  v.cut();
  second = await Gateway.start(suite);
  // The suite's own comes back at its address, and nothing of its former life counts.
  for (let i = 0; i < CAP; i++) all.push(await open(at(suite.url)));
  assert.equal((await refused(second.url, { token: viewer.token })).status, 429);
  await suite.kill('decnet-api');
  await suite.ready();
  const w = await open(at(second.url));
  await closed(w, ...all);
});

test('a ticket outlives the gateway that made it', async () => {
  const ticket = await ticketOf(viewer);
  await suite.kill('decnet-api');
  const v = await open(by(second.url, ticket));
  await suite.ready();
  await closed(v);
});

test('a stream goes on at the other gateway when its own is killed', async () => {
  const v = await open(at(suite.url));
  await suite.kill('decnet-api', { wait: false });
  await v.end();
  const then = new Viewer(second.url, '/identities/events', { token: viewer.token, lastEventId: v.lastId() || 1 });
  assert.equal(await then.opened, 200);
  then.cut();
  await suite.ready();
});

test('attempts to log in are counted together, and a restart forgets none', async () => {
  const wrong = { username: 'viewer', password: 'not the password' };
  const login = (i, from, body) => postFrom(from, i % 2 ? suite.url : second.url, '/auth/login', body);
  for (let i = 0; i < 10; i++) assert.equal((await login(i, '127.0.4.1', { ...wrong, username: `of address ${i}` })).status, 401, `${i}`);
  const tooMany = async (from, body, detail) => {
    for (const url of [suite.url, second.url]) {
      const res = await postFrom(from, url, '/auth/login', body);
      assert.deepEqual([res.status, res.body], [429, { detail }]);
      assert.ok(Number(res.headers['retry-after']) > 0);
    }
  };
  await tooMany('127.0.4.1', { ...wrong, username: 'one more' }, 'Rate limit exceeded: 10 per 5 minute');
  // Before the body is read.
  await tooMany('127.0.4.1', { nonsense: true }, 'Rate limit exceeded: 10 per 5 minute');
  for (let i = 0; i < 10; i++) assert.equal((await login(i, `127.0.4.${10 + i}`, { ...wrong, username: 'of name' })).status, 401, `${i}`);
  await tooMany('127.0.4.30', { ...wrong, username: 'of name' }, 'Rate limit exceeded: 10 per 15 minute');
  await suite.kill('decnet-api');
  await suite.ready();
  await tooMany('127.0.4.1', wrong, 'Rate limit exceeded: 10 per 5 minute');
  await tooMany('127.0.4.31', { ...wrong, username: 'of name' }, 'Rate limit exceeded: 10 per 15 minute');
  assert.equal((await login(0, '127.0.4.32', { ...wrong, username: 'nobody yet' })).status, 401);
});

test('changes of a password are counted together', async () => {
  const body = { old_password: 'not the password', new_password: 'password-number-three' };
  // One was made when the user was.
  const { token } = await admin.user('changes', 'viewer');
  for (let i = 0; i < 4; i++) assert.equal((await postFrom('127.0.0.1', i % 2 ? suite.url : second.url, '/auth/change-password', body, token)).status, 401);
  for (const url of [suite.url, second.url]) {
    const res = await postFrom('127.0.0.1', url, '/auth/change-password', body, token);
    assert.deepEqual([res.status, res.body], [429, { detail: 'Rate limit exceeded: 5 per 1 minute' }]);
  }
});

test('a gateway that has gone is not waited for, and one alone counts by itself again', async () => {
  const { code } = await second.stop();
  assert.equal(code, 0);
  const all = [];
  for (let i = 0; i < CAP; i++) all.push(await open(at(suite.url)));
  assert.equal((await refused(suite.url, { token: viewer.token })).status, 429);
  const before = await ticketOf(viewer);
  await eventually('it is alone', () => suite.log.includes('state=alone'), 20000);
  assert.equal((await refused(suite.url, { token: viewer.token })).status, 429);
  for (const v of all) v.cut();
  await eventually('a slot', async () => {
    const x = by(suite.url, before);
    const status = await x.opened;
    x.cut();
    return status === 200;
  });
  assert.equal((await refused(suite.url, { query: { ticket: before } })).status, 401);
  const began = Date.now();
  second = await Gateway.start(suite);
  assert.ok(Date.now() - began < 3000 + LEASE_MS);
  (await open(at(second.url))).cut();
});
