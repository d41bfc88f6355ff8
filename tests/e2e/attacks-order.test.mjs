// SPDX-License-Identifier: Apache-2.0
// The order of checks, each neighbouring pair of it, and every status text that a caller can be given.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { sign, claimsOf } from './lib/jwt.mjs';
import { exchange } from './lib/raw.mjs';
import { Viewer } from './lib/sse.mjs';
import { WriteLock } from './lib/store.mjs';
import { eventually, freePort, Suite } from './lib/suite.mjs';

const NOBODY = '0195f000-0000-7000-8000-000000000000';
const SECRET = 'a-secret-of-the-tests-that-signs-every-token';
const JSON_TYPE = 'Content-Type: application/json';
let suite, admin, viewer, fresh, demo, pending;

before(async () => {
  suite = await Suite.start({ DECNET_JWT_SECRET: SECRET, DECNET_METRICS_LISTEN: `127.0.0.1:${await freePort()}` });
  suite.cli('demo');
  admin = await Api.admin(suite);
  viewer = await admin.user('analyst', 'viewer');
  await admin.expect(200, 'POST', '/config/users', { username: 'fresh', password: 'password-number-one' });
  fresh = await Api.login(suite.url, 'fresh', 'password-number-one');
  demo = await admin.demoTopology();
  await eventually('the demo is active', async () => (await admin.get(`/topologies/${demo.id}`)).body.topology.status === 'active');
  pending = await admin.expect(201, 'POST', '/topologies/blank', { name: 'order' });
});

after(async () => {
  await suite?.stop();
});

/** One raw request; `who` is a client, a token's text or null. */
async function ask(method, path, who, fields = [], body = '', from) {
  const token = who?.token ?? who;
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: a', ...(token ? [`Authorization: Bearer ${token}`] : []), ...fields, ...(body ? [`Content-Length: ${Buffer.byteLength(body)}`] : [])];
  const answers = await exchange(suite.port, `${lines.join('\r\n')}\r\n\r\n${body}`, { from });
  assert.equal(answers.length, 1, `${method} ${path}: ${answers.length} answers`);
  return answers[0];
}

function is(answer, status, detail, what) {
  assert.equal(answer.status, status, `${what}: ${answer.status} ${answer.body}`);
  if (status === 422) {
    assert.ok(answer.json.errors.length > 0, what);
    assert.equal(answer.json.detail, detail, what);
  } else if (status === 409 && answer.json.issues) assert.equal(answer.json.detail, detail, what);
  else assert.deepEqual(answer.json, { detail }, what);
  assert.equal(answer.headers.get('content-type'), 'application/json', what);
  if (status === 401) assert.equal(answer.headers.get('www-authenticate'), 'Bearer', what);
}

const V1 = '/api/v1';
const BIG = ' '.repeat(1048577);
const T = {
  400: 'Malformed HTTP request', 401: 'Could not validate credentials', must: 'Password change required before accessing this resource', role: 'Insufficient permissions',
  404: 'Not Found', 405: 'Method Not Allowed', 413: 'Request body too large', 415: 'Unsupported media type: expected application/json', json: 'Malformed JSON body',
  object: 'Request body must be a JSON object', 422: 'Invalid request parameters',
};

test('1 before 2: what is no request has no route', async () => {
  is(await ask('GET', '/nothing', null, ['Host: b']), 400, T[400], 'framing before an unknown path');
  is(await ask('BREW', '/healthz', null, ['Host: b']), 400, T[400], 'framing before the method');
  is(await ask('GET', '/nothing', null, Array.from({ length: 100 }, (_, i) => `X-${i}: y`)), 431, 'Request header fields too large', '431 before 404');
  is(await ask('GET', `/${'a'.repeat(8192)}`, null), 414, 'URI too long', '414 before 404');
});

test('2 before 3: route and method before the caller', async () => {
  for (const who of [null, 'no.good.token', fresh, viewer]) {
    is(await ask('GET', `${V1}/nothing`, who), 404, T[404], 'an unknown path');
    is(await ask('PUT', `${V1}/topologies`, who), 405, T[405], 'an unknown method');
    is(await ask('POST', `${V1}/identities/events`, who), 405, T[405], 'a stream by another method');
    is(await ask('POST', `${V1}/nothing`, who, ['Content-Type: text/plain'], BIG), 404, T[404], '404 before 413');
  }
});

test('3: the token, then must-change, then the role', async () => {
  const gone = sign({ alg: 'HS256' }, { ...claimsOf(admin.token), uuid: NOBODY }, SECRET);
  for (const [method, path] of [['POST', '/config/users'], ['GET', '/topologies'], ['GET', '/identities/events'], ['DELETE', `/topologies/${NOBODY}`]]) {
    for (const token of [null, 'x', 'x.y.z', gone]) is(await ask(method, V1 + path, token), 401, T[401], `${method} ${path}`);
    is(await ask(method, V1 + path, fresh), 403, T.must, `${method} ${path} while must-change is set`);
  }
  is(await ask('POST', `${V1}/config/users`, fresh, [JSON_TYPE], '{'), 403, T.must, 'must-change before the role and the body');
  is(await ask('POST', `${V1}/config/users`, viewer), 403, T.role, 'the role');
});

test('3 before 4: who may not is not counted', async () => {
  for (let i = 0; i < 8; i++) is(await ask('POST', `${V1}/auth/change-password`, null, [JSON_TYPE], '{}'), 401, T[401], 'no token, no count');
  const slots = [];
  for (let i = 0; i < 5; i++) {
    const v = new Viewer(suite.url, '/identities/events', { token: viewer.token });
    assert.equal(await v.opened, 200);
    slots.push(v);
  }
  is(await ask('GET', `${V1}/identities/events`, 'x.y.z'), 401, T[401], '401 before the slot');
  is(await ask('GET', `${V1}/identities/events`, fresh), 403, T.must, '403 before the slot');
  // 4 before 6, 7: the slot before the query and the resource.
  for (const path of ['/events', '/events?topics=system.log', `/topologies/${NOBODY}/events`, `/attackers/${NOBODY}/events`, '/stream?start_time=x', '/identities/events?a=%zz']) {
    const answer = await ask('GET', V1 + path, viewer);
    is(answer, 429, 'SSE connection limit (5) reached', `the slot before ${path}`);
    assert.equal(answer.headers.get('retry-after'), '5');
  }
  for (const v of slots) v.cut();
  // 6 before 7 on streams.
  await eventually('slots are free', async () => (await ask('GET', `${V1}/events`, viewer)).status === 422);
  is(await ask('GET', `${V1}/events?topics=topology.${NOBODY}.status,system.log`, viewer), 422, T[422], 'the query before the resource');
  is(await ask('GET', `${V1}/events?topics=topology.${NOBODY}.status`, viewer), 404, 'Topology not found', 'the resource');
});

test('3 before 5: nobody without the role learns what is wrong with his body', async () => {
  for (const [who, status, text] of [[null, 401, T[401]], ['x.y.z', 401, T[401]], [fresh, 403, T.must], [viewer, 403, T.role]]) {
    for (const [fields, body] of [[[JSON_TYPE], BIG], [['Content-Type: text/plain'], 'x'], [[JSON_TYPE], '{'], [[JSON_TYPE], '[]'], [[JSON_TYPE], '{}'], [[JSON_TYPE], '{"username":"a"}']]) is(await ask('POST', `${V1}/config/users`, who, fields, body), status, text, `${status} before the body`);
    is(await ask('DELETE', `${V1}/topologies/${NOBODY}`, who), status, text, `${status} before 404`);
    is(await ask('PUT', `${V1}/config/users/${NOBODY}/role`, who, [JSON_TYPE], '{"role":"viewer"}'), status, text, `${status} before 404`);
    is(await ask('POST', `${V1}/topologies/${demo.id}/lans`, who, [JSON_TYPE], '{"name":"x"}'), status, text, `${status} before 409`);
  }
  is(await ask('GET', `${V1}/topologies/${NOBODY}?limit=x&%zz`, 'x'), 401, T[401], '401 before the query');
});

test('4 before 5: the rate limit before the body', async () => {
  const from = '127.5.0.1';
  for (let i = 0; i < 10; i++) is(await ask('POST', `${V1}/auth/login`, null, [JSON_TYPE], '{', from), 400, T.json, 'an attempt counts whatever its body is');
  for (const [fields, body] of [[[JSON_TYPE], BIG], [['Content-Type: text/plain'], 'x'], [[JSON_TYPE], '{'], [[JSON_TYPE], '{}']]) {
    const answer = await ask('POST', `${V1}/auth/login`, null, fields, body, from);
    is(answer, 429, 'Rate limit exceeded: 10 per 5 minute', 'the limit of the address');
    assert.match(answer.headers.get('retry-after'), /^[1-9]\d{0,2}$/);
  }
  const own = await admin.user('limited', 'viewer');
  // The first of five was the forced change.
  for (let i = 0; i < 4; i++) assert.equal((await ask('POST', `${V1}/auth/change-password`, own, [JSON_TYPE], '{')).status, 400);
  const answer = await ask('POST', `${V1}/auth/change-password`, own, ['Content-Type: text/plain'], BIG);
  is(answer, 429, 'Rate limit exceeded: 5 per 1 minute', 'the limit of a user');
});

test('5: size, then type, then JSON', async () => {
  const users = (fields, body) => ask('POST', `${V1}/config/users`, admin, fields, body);
  is(await users(['Content-Type: text/plain'], BIG), 413, T[413], '413 before 415');
  is(await users([], BIG), 413, T[413], '413 before 415');
  is(await users([JSON_TYPE], BIG), 413, T[413], '413 before 400');
  is(await users(['Content-Type: text/plain'], '{'), 415, T[415], '415 before 400');
  is(await users(['Content-Type: text/plain'], '{}'), 415, T[415], '415 before 422');
  is(await users([JSON_TYPE], '{'), 400, T.json, '400');
  is(await users([JSON_TYPE], '{"a":1,"a":1}'), 400, T.json, 'a duplicate key');
  is(await users([JSON_TYPE], '[]'), 400, T.object, 'no object');
});

test('5 before 6 before 7: JSON before the schema before the resource', async () => {
  const at = (id, body) => ask('POST', `${V1}/topologies/${id}/mutations`, admin, [JSON_TYPE], body);
  for (const id of [NOBODY, 'no-uuid', NOBODY.toUpperCase(), '%20', '..']) {
    is(await at(id, '{'), 400, T.json, `400 before the resource ${id}`);
    is(await at(id, '{}'), 422, T[422], `422 before 404 for ${id}`);
    is(await at(id, '{"op":"add_lan","payload":{"name":"x"},"more":1}'), 422, T[422], `422 before 404 for ${id}`);
    is(await at(id, '{"op":"add_lan","payload":{"name":"x"}}'), 404, 'Topology not found', `404 for ${id}`);
  }
  is(await ask('GET', `${V1}/topologies/${NOBODY}/mutations?state=x`, viewer), 422, T[422], 'the query before the resource');
  is(await ask('GET', `${V1}/topologies/${NOBODY}/mutations?%zz`, viewer), 422, T[422], 'a broken query before the resource');
  is(await ask('GET', `${V1}/topologies/${NOBODY}/mutations`, viewer), 404, 'Topology not found', 'the resource');
  is(await ask('GET', `${V1}/attackers/${NOBODY}/commands?limit=0`, viewer), 422, T[422], 'the query before the resource');
  is(await ask('GET', `${V1}/attackers/${NOBODY}/commands`, viewer), 404, 'Attacker not found', 'the resource');
  is(await ask('PUT', `${V1}/config/users/${NOBODY}/role`, admin, [JSON_TYPE], '{"role":"x"}'), 422, T[422], 'the body before the resource');
  is(await ask('PUT', `${V1}/config/users/${NOBODY}/role`, admin, [JSON_TYPE], '{"role":"admin"}'), 404, 'User not found', 'the resource');
});

test('7 before 8: the resource before its state', async () => {
  const own = (await admin.get('/config')).body;
  is(await ask('DELETE', `${V1}/topologies/${demo.id}/lans/${NOBODY}`, admin), 404, 'LAN not found', 'a child of an active topology');
  is(await ask('DELETE', `${V1}/topologies/${demo.id}/mutations/${NOBODY}`, admin), 404, 'Mutation not found', 'a mutation');
  is(await ask('POST', `${V1}/topologies/${NOBODY}/deckies/x/services`, admin, [JSON_TYPE], '{"name":"http"}'), 404, `topology '${NOBODY}' not found`, 'the topology of a live service');
  is(await ask('POST', `${V1}/topologies/${pending.id}/deckies/nobody/services`, admin, [JSON_TYPE], '{"name":"http"}'), 404, `decky 'nobody' is not in topology '${pending.id}'`, 'a decky of a pending topology');
  is(await ask('POST', `${V1}/topologies/${demo.id}/lans`, admin, [JSON_TYPE], '{"name":"x"}'), 409, "Topology is 'active'; free-form child edits are pending-only.  Use the mutation queue for active topologies.", 'the state');
  is(await ask('POST', `${V1}/topologies/${pending.id}/mutations`, admin, [JSON_TYPE], '{"op":"add_lan","payload":{"name":"x"}}'), 409, "Topology is 'pending'; the mutation queue is only open for 'active' or 'degraded' topologies.  Use child-CRUD endpoints while pending.", 'the state');
  is(await ask('POST', `${V1}/topologies/${demo.id}/deploy`, admin), 409, "Topology is 'active'; only 'pending' topologies can be deployed.", 'the state');
  is(await ask('DELETE', `${V1}/topologies/${demo.id}`, admin), 409, "Topology is 'active'; teardown to 'torn_down' before delete.", 'the state');
  is(await ask('POST', `${V1}/topologies/blank`, admin, [JSON_TYPE], '{"name":"order"}'), 409, "A topology named 'order' already exists.", 'the name');
  is(await ask('DELETE', `${V1}/config/users/${own.uuid}`, admin), 403, 'Cannot delete your own account', 'oneself');
  is(await ask('PUT', `${V1}/config/users/${own.uuid}/role`, admin, [JSON_TYPE], '{"role":"viewer"}'), 403, 'Cannot change your own role', 'oneself');
  is(await ask('POST', `${V1}/config/users`, admin, [JSON_TYPE], '{"username":"analyst","password":"password-number-one"}'), 409, 'Username already exists', 'the name');
});

test('all problems of one body are reported together, at most 32', async () => {
  const few = await ask('POST', `${V1}/config/users`, admin, [JSON_TYPE], '{"username":7,"password":[],"role":"king","x":1}');
  is(few, 422, T[422], 'four problems');
  assert.deepEqual(few.json.errors.map((e) => e.field).sort(), ['password', 'role', 'username', 'x']);
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x${i}`, 1]));
  const answer = await ask('POST', `${V1}/config/users`, admin, [JSON_TYPE], JSON.stringify(many));
  assert.equal(answer.json.errors.length, 32);
});

test('502 when a live service cannot be started, and nothing has changed', async () => {
  const { deckies } = (await admin.get(`/topologies/${demo.id}`)).body;
  const decky = deckies.find((d) => d.endpoints.length && !d.services.includes('redis'));
  const taken = createServer();
  await new Promise((good, bad) => {
    taken.once('error', bad);
    taken.listen(6379 + Number(suite.env.DECNET_PORT_OFFSET), decky.endpoints[0].address, good);
  });
  try {
    const answer = await ask('POST', `${V1}/topologies/${demo.id}/deckies/${decky.name}/services`, admin, [JSON_TYPE], '{"name":"redis"}');
    assert.equal(answer.status, 502, answer.body);
    assert.match(answer.json.detail, /^Service change failed: ./);
    assert.match(answer.json.mutation_id, /^[0-9a-f-]{36}$/);
  } finally {
    taken.close();
  }
  const after = (await admin.get(`/topologies/${demo.id}`)).body.deckies.find((d) => d.uuid === decky.uuid);
  assert.deepEqual(after.services, decky.services);
});

test('503 when the store does not take a write, with Retry-After, and reads go on', async () => {
  const lock = await WriteLock.take(suite);
  try {
    const write = ask('POST', `${V1}/topologies/blank`, admin, [JSON_TYPE], '{"name":"never"}');
    assert.equal((await ask('GET', `${V1}/topologies`, viewer)).status, 200);
    const answer = await write;
    is(answer, 503, 'Store unavailable', 'the store is locked');
    assert.equal(answer.headers.get('retry-after'), '1');
  } finally {
    await lock.release();
  }
  assert.equal((await ask('POST', `${V1}/topologies/blank`, admin, [JSON_TYPE], '{"name":"again"}')).status, 201);
});
