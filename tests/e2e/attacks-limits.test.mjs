// SPDX-License-Identifier: Apache-2.0
// Rate limits of passwords, and every ceiling of the contract with its counter.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Metrics } from './lib/metrics.mjs';
import { exchange, parseAnswers, Raw } from './lib/raw.mjs';
import { Viewer } from './lib/sse.mjs';
import { sql, WriteLock } from './lib/store.mjs';
import { eventually, freePort, Suite } from './lib/suite.mjs';

let suite, metrics, admin, viewer;

before(async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  suite = await Suite.start({ DECNET_METRICS_LISTEN: listen, DECNET_LOG_LEVEL: 'info' });
  metrics = new Metrics(listen);
  admin = await Api.admin(suite);
  viewer = await admin.user('analyst', 'viewer');
});

after(async () => {
  await suite?.stop();
});

let last = 0;
/** An address of this machine that has not been used yet. */
const address = () => `127.7.${(last >> 8) & 255}.${++last & 255}`;

async function post(path, body, { from, token, fields = [] } = {}) {
  const text = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const lines = [`POST /api/v1${path} HTTP/1.1`, 'Host: a', 'Content-Type: application/json', `Content-Length: ${text.length}`, ...(token ? [`Authorization: Bearer ${token}`] : []), ...fields];
  const [answer] = await exchange(suite.port, [`${lines.join('\r\n')}\r\n\r\n`, text], { from });
  return answer;
}

const login = (username, password, options) => post('/auth/login', { username, password }, options);

function limited(answer, text) {
  assert.equal(answer.status, 429, answer.body);
  assert.deepEqual(answer.json, { detail: `Rate limit exceeded: ${text}` });
  const wait = Number(answer.headers.get('retry-after'));
  assert.ok(Number.isInteger(wait) && wait >= 1 && wait <= 900, `Retry-After: ${wait}`);
}

/** The counter of a ceiling moves while `act` runs. */
async function moves(limit, act) {
  const before = await metrics.limit(limit);
  assert.equal(typeof before, 'number', `there is a counter for ${limit}`);
  const given = await act();
  await eventually(`the counter of ${limit} moves`, async () => (await metrics.limit(limit)) > before);
  return given;
}

test('logins of one address: ten in five minutes, the good ones too, whatever a proxy field says', async () => {
  const from = address();
  for (let i = 0; i < 4; i++) assert.equal((await login('nobody', 'wrong', { from })).status, 401);
  for (let i = 0; i < 3; i++) assert.equal((await login('admin', 'second-password-of-the-tests', { from })).status, 200);
  for (let i = 0; i < 2; i++) assert.equal((await post('/auth/login', '{', { from })).status, 400);
  assert.equal((await post('/auth/login', {}, { from })).status, 422);
  limited(await login('admin', 'second-password-of-the-tests', { from }), '10 per 5 minute');
  for (const field of ['X-Forwarded-For: 192.0.2.1', 'X-Real-IP: 192.0.2.1', 'Forwarded: for=192.0.2.1', 'True-Client-IP: 192.0.2.1', 'CF-Connecting-IP: 192.0.2.1']) limited(await login('admin', 'x', { from, fields: [field] }), '10 per 5 minute');
  // Another address is not held up by this one, and whoever has a token goes on.
  assert.equal((await login('nobody', 'wrong', { from: address() })).status, 401);
  assert.equal((await viewer.get('/config')).status, 200);
});

test('logins of one name: ten in fifteen minutes from wherever, known or not', async () => {
  await admin.expect(200, 'POST', '/config/users', { username: 'target', password: 'password-number-one' });
  for (const name of ['target', 'no such user', 'x'.repeat(64), 'ünïcödé']) {
    for (let i = 0; i < 10; i++) assert.equal((await login(name, 'wrong', { from: address() })).status, 401, name);
    limited(await login(name, 'wrong', { from: address() }), '10 per 15 minute');
  }
  limited(await login('target', 'password-number-one', { from: address() }), '10 per 15 minute');
  // Names are case-sensitive, and one that cannot be anybody's costs no window.
  assert.equal((await login('Target', 'wrong', { from: address() })).status, 401);
  for (const name of ['', 'x'.repeat(65)]) assert.equal((await login(name, 'wrong', { from: address() })).status, 422);
});

test('every login costs one password check, known or not, and one that is refused early costs none', async () => {
  const cost = async (act) => {
    const before = await metrics.get('decnet_password_checks_total');
    await act();
    return (await metrics.get('decnet_password_checks_total')) - before;
  };
  await admin.expect(200, 'POST', '/config/users', { username: 'priced', password: 'password-number-one' });
  for (const [what, status, checks, act] of [
    ['a known name, a wrong password', 401, 1, () => login('priced', 'wrong', { from: address() })],
    ['a known name, the password', 200, 1, () => login('priced', 'password-number-one', { from: address() })],
    ['an unknown name', 401, 1, () => login('nobody at all', 'wrong', { from: address() })],
    ['an unknown name, a known password', 401, 1, () => login('nobody at all', 'password-number-one', { from: address() })],
    ['an unknown name of 64 characters', 401, 1, () => login('ü'.repeat(64), 'wrong', { from: address() })],
    ['a known name, a password of 128 bytes', 401, 1, () => login('priced', 'x'.repeat(128), { from: address() })],
    ['a name that cannot be', 422, 0, () => login('x'.repeat(65), 'wrong', { from: address() })],
    ['a password that cannot be', 422, 0, () => login('priced', 'x'.repeat(129), { from: address() })],
    ['no JSON', 400, 0, () => post('/auth/login', '{', { from: address() })],
  ]) {
    let answer;
    assert.equal(await cost(async () => (answer = await act())), checks, what);
    assert.equal(answer.status, status, what);
    if (status === 401) assert.deepEqual(answer.json, { detail: 'Incorrect username or password' }, what);
  }
  const from = address();
  for (let i = 0; i < 10; i++) await post('/auth/login', '{', { from });
  assert.equal(await cost(() => login('priced', 'wrong', { from })), 0, 'behind the limit nothing is hashed');
});

test('changing a password: five a minute for each user, then nothing is hashed', async () => {
  const user = await admin.user('changer', 'viewer');
  const body = { old_password: 'wrong', new_password: 'password-number-three' };
  for (let i = 0; i < 4; i++) assert.equal((await post('/auth/change-password', body, { token: user.token })).status, 401);
  const before = await metrics.get('decnet_password_checks_total');
  limited(await post('/auth/change-password', body, { token: user.token }), '5 per 1 minute');
  assert.equal(await metrics.get('decnet_password_checks_total'), before);
  const other = await admin.user('other', 'viewer');
  assert.equal((await post('/auth/change-password', body, { token: other.token })).status, 401, 'the limit is each user\'s own');
});

test('ceilings of requests', async () => {
  const send = async (text) => (await exchange(suite.port, text))[0].status;
  await moves('request_line', async () => assert.equal(await send(`GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`), 414));
  await moves('headers', async () => assert.equal(await send(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(40000)}\r\n\r\n`), 431));
  await moves('headers', async () => assert.equal(await send(`GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(100)}\r\n`), 431));
  await moves('body', async () => assert.equal(await send('POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n'), 413));
});

test('ceilings of streams: slots and tickets', async () => {
  const streams = Array.from({ length: 5 }, () => new Viewer(suite.url, '/identities/events', { token: viewer.token }));
  for (const v of streams) assert.equal(await v.opened, 200);
  await moves('streams_per_user', async () => assert.equal((await viewer.get('/identities/events')).status, 429));
  for (const v of streams) v.cut();
  const tickets = [];
  for (let i = 0; i < 100; i++) tickets.push((await viewer.expect(200, 'POST', '/auth/sse-ticket')).ticket);
  await moves('tickets_per_user', async () => tickets.push((await viewer.expect(200, 'POST', '/auth/sse-ticket')).ticket));
  const use = async (ticket) => {
    const v = new Viewer(suite.url, '/identities/events', { query: { ticket } });
    const status = await v.opened;
    v.cut();
    return status;
  };
  assert.equal(await use(tickets[0]), 401, 'the oldest is dropped');
  await eventually('a slot is free', async () => (await use(tickets[1])) === 200);
  await eventually('the newest is good', async () => (await use(tickets[100])) === 200);
});

test('the ceiling of a stream\'s ring: who falls off it reads the journal', async () => {
  const topology = await admin.expect(201, 'POST', '/topologies/blank', { name: 'ring' });
  const { lans } = await admin.expect(200, 'GET', `/topologies/${topology.id}`);
  const slow = new Viewer(suite.url, `/topologies/${topology.id}/events`, { token: viewer.token });
  await slow.event('snapshot');
  slow.pause();
  await moves('ring', async () => {
    for (let i = 0; i < 4200; i += 50) {
      const edits = Array.from({ length: 50 }, (_, k) => {
        const body = JSON.stringify({ x: i + k });
        return `PATCH /api/v1/topologies/${topology.id}/lans/${lans[0].id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${admin.token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      });
      const answers = await exchange(suite.port, edits);
      assert.ok(answers.every((a) => a.status === 200), answers.find((a) => a.status !== 200)?.body);
    }
  });
  slow.resume();
  const { version } = (await admin.get(`/topologies/${topology.id}`)).body.topology;
  await slow.wait('the last edit', (f) => f.event === 'changed' && f.data.payload.version === version, { deadlineMs: 60000 });
  const versions = slow.frames.filter((f) => f.event === 'changed').map((f) => f.data.payload.version);
  assert.deepEqual(versions, Array.from({ length: versions.length }, (_, i) => version - versions.length + 1 + i), 'none is missing, none comes twice');
  slow.cut();
});

test('the ceiling of changes in one frame: refetch', async () => {
  const topology = await admin.expect(201, 'POST', '/topologies/blank', { name: 'large' });
  const at = `/topologies/${topology.id}`;
  const { lans } = await admin.expect(200, 'GET', at);
  const config = { http: { custom_body: 'x'.repeat(60000) } };
  for (let i = 0; i < 6; i++) {
    const decky = await admin.expect(201, 'POST', `${at}/deckies`, { name: `d${i}`, services: ['http'], decky_config: { service_config: config } });
    await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: decky.uuid, lan_id: lans[0].id });
  }
  const v = new Viewer(suite.url, `${at}/events`, { token: viewer.token });
  await v.event('snapshot');
  await moves('changes', () => admin.expect(200, 'PATCH', `${at}/lans/${lans[0].id}`, { subnet: '172.30.99.0/24' }));
  const frame = await v.event('changed');
  assert.equal(frame.data.payload.changes, null);
  assert.equal(frame.data.payload.refetch, true);
  v.cut();
});

test('ceilings of rows: topologies, users, LANs, deckies, edges, services, pending mutations', async () => {
  const full = async (limit, n, ...call) => {
    const res = await moves(limit, () => admin.call(...call));
    assert.equal(res.status, 409, JSON.stringify(res.body));
    assert.equal(res.body.detail, `limit reached: ${limit} (${n})`);
  };
  const topology = await admin.expect(201, 'POST', '/topologies/blank', { name: 'full' });
  const at = `/topologies/${topology.id}`;
  const { lans, deckies, edges } = await admin.expect(200, 'GET', at);
  const id = (n) => `0195f000-0000-7000-8000-${String(n).padStart(12, '0')}`;
  const insert = (table, columns, n, row) => sql(suite, `INSERT INTO ${table} (${columns}) VALUES ${Array.from({ length: n }, (_, i) => `(${row(i)})`).join(',')};`);

  insert('lans', 'id, topology_id, name, subnet, is_dmz', 256 - lans.length, (i) => `'${id(i)}', '${topology.id}', 'full-${i}', '10.${i}.0.0/24', 0`);
  await full('lans', 256, 'POST', `${at}/lans`, { name: 'one-more', subnet: '10.254.9.0/24' });
  insert('deckies', 'uuid, topology_id, name, services, forwards_l3, service_config, home_lan_id, state, endpoints', 1024 - deckies.length, (i) => `'${id(100000 + i)}', '${topology.id}', 'full-${i}', '[]', 0, '{}', '${lans[0].id}', 'pending', '[]'`);
  await full('deckies', 1024, 'POST', `${at}/deckies`, { name: 'one-more' });
  const pairs = Array.from({ length: 4096 - edges.length }, (_, i) => [i % 1023, Math.floor(i / 1023)]);
  insert('edges', 'id, topology_id, decky_uuid, lan_id, ip, is_bridge, forwards_l3', pairs.length, (i) => `'${id(200000 + i)}', '${topology.id}', '${id(100000 + pairs[i][0])}', '${id(pairs[i][1])}', '10.${pairs[i][1]}.${pairs[i][0] >> 8}.${pairs[i][0] & 255}', 1, 0`);
  await full('edges', 4096, 'POST', `${at}/edges`, { decky_uuid: id(100000 + 1022), lan_id: id(200) });
  const many = await admin.call('PATCH', `${at}/deckies/${deckies[0].uuid}`, { services: Array.from({ length: 33 }, (_, i) => `s${i}`) });
  assert.ok([409, 422].includes(many.status), JSON.stringify(many.body).slice(0, 200));

  const have = (await admin.expect(200, 'GET', '/topologies?limit=1')).total;
  insert('topologies', 'id, name, mode, status, version, needs_resync, created_at, status_changed_at', 1000 - have, (i) => `'${id(300000 + i)}', 'row-${i}', 'unihost', 'torn_down', 1, 0, 1, 1`);
  await full('topologies', 1000, 'POST', '/topologies/blank', { name: 'one-more' });
  sql(suite, "DELETE FROM topologies WHERE name LIKE 'row-%';");

  const { users } = await admin.expect(200, 'GET', '/config');
  insert('users', 'uuid, username, password_hash, role, must_change, tokens_valid_from, created_at', 1000 - users.length, (i) => `'${id(400000 + i)}', 'row ${i}', 'none', 'viewer', 1, 0, 1`);
  await full('users', 1000, 'POST', '/config/users', { username: 'one-more', password: 'password-number-one' });
  sql(suite, "DELETE FROM users WHERE username LIKE 'row %';");
});

test('the ceilings of the queue of a topology and of the services of a decky', async () => {
  suite.cli('demo');
  const demo = await admin.demoTopology();
  await eventually('the demo is active', async () => (await admin.get(`/topologies/${demo.id}`)).body.topology.status === 'active');
  process.kill(suite.pid('decnet-mutator'), 'SIGSTOP');
  try {
    const { name } = (await admin.get(`/topologies/${demo.id}`)).body.lans[0];
    for (let i = 0; i < 1000; i += 50) {
      const enqueue = Array.from({ length: 50 }, (_, k) => {
        const body = JSON.stringify({ op: 'update_lan', payload: { name, x: i + k } });
        return `POST /api/v1/topologies/${demo.id}/mutations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${admin.token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      });
      const answers = await exchange(suite.port, enqueue, { deadlineMs: 60000 });
      assert.ok(answers.every((a) => a.status === 202), answers.find((a) => a.status !== 202)?.body);
    }
    const res = await moves('mutations', () => admin.post(`/topologies/${demo.id}/mutations`, { op: 'update_lan', payload: { name, x: 1 } }));
    assert.equal(res.status, 409);
    assert.equal(res.body.detail, 'limit reached: mutations (1000)');
    for (const { id } of (await admin.get(`/topologies/${demo.id}/mutations?state=pending&limit=1`)).body.data) assert.equal((await admin.call('DELETE', `/topologies/${demo.id}/mutations/${id}`)).status, 204);

    // The catalogue has fewer services than a decky may have: the row is filled from outside.
    const decky = (await admin.get(`/topologies/${demo.id}`)).body.deckies.find((d) => !d.services.includes('redis'));
    sql(suite, `UPDATE deckies SET services = '${JSON.stringify(Array.from({ length: 32 }, (_, i) => `s${i}`))}' WHERE uuid = '${decky.uuid}';`);
    const full = await moves('services', () => admin.post(`/topologies/${demo.id}/deckies/${decky.name}/services`, { name: 'redis' }));
    sql(suite, `UPDATE deckies SET services = '${JSON.stringify(decky.services)}' WHERE uuid = '${decky.uuid}';`);
    assert.equal(full.status, 409, JSON.stringify(full.body));
    assert.equal(full.body.detail, 'limit reached: services (32)');
  } finally {
    process.kill(suite.pid('decnet-mutator'), 'SIGCONT');
  }
});

test('the ceiling of the store\'s queue: 503 for the rest, and all is well when the store is back', async () => {
  const lock = await WriteLock.take(suite);
  const peers = [];
  try {
    await moves('store_queue', async () => {
      // Writers hold the few threads; what comes behind them fills the queue.
      const body = '{"name":"never"}';
      const write = `POST /api/v1/topologies/blank HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${admin.token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      for (let i = 0; i < 1200; i++) peers.push(new Raw(suite.port).send(write));
      const busy = await Promise.any(peers.map(async (r) => {
        const [answer] = await r.answers(1);
        if (answer.json.detail !== 'Server busy') throw new Error(answer.body);
        return answer;
      }));
      assert.equal(busy.status, 503);
      assert.equal(busy.headers.get('retry-after'), '1');
      assert.equal((await fetch(`${suite.url}/healthz`)).status, 200, 'what needs no store is served');
    });
  } finally {
    await lock.release();
    for (const r of peers) r.cut();
  }
  assert.ok(peers.every((r) => parseAnswers(r.text).every((a) => [201, 409, 503].includes(a.status))));
  await eventually('writes are taken again', async () => [201, 409].includes((await admin.post('/topologies/blank', { name: 'never' })).status), 60000);
});

test('every ceiling of the contract has a counter', async () => {
  const all = await metrics.all();
  for (const name of ['connections', 'store_queue', 'body', 'request_line', 'headers', 'streams_per_user', 'tickets_per_user', 'ring', 'topologies', 'users', 'lans', 'deckies', 'edges', 'mutations', 'services', 'changes', 'bus_pending']) assert.ok(all.has(`decnet_limit_hits_total{limit="${name}"}`), name);
  for (const key of all.keys()) assert.ok(!/[\r\n]|admin|analyst|127\.7\./.test(key), `no user, no address: ${key}`);
});
