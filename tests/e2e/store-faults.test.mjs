// SPDX-License-Identifier: Apache-2.0
// A store that somebody has damaged by hand, or whose disk is full: each request has the answer of the contract, nothing is half done, and when
// the damage is mended everything goes on without a restart.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Viewer } from './lib/sse.mjs';
import { sql, value } from './lib/store.mjs';
import { Suite, build, eventually } from './lib/suite.mjs';

const inside = process.env.DECNET_E2E_INSIDE === 'full disk';
const wrap = process.getuid() === 0 ? ['-m'] : ['-rm'];
const cannot = spawnSync('unshare', [...wrap, 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /tmp'], { encoding: 'utf8' });
const noMount = inside || cannot.status === 0 ? false : `no mount namespace: ${cannot.stderr?.trim() || cannot.error?.message}`;

let suite, admin, demo, blank;

before(async () => {
  suite = await Suite.start({ DECNET_SSE_MAX_PER_USER: '0', DECNET_API_WORKERS: '1' });
  admin = await Api.admin(suite);
  suite.cli('demo');
  demo = await admin.expect(200, 'GET', `/topologies/${(await admin.demoTopology()).id}`);
  const { id } = await admin.expect(201, 'POST', '/topologies/blank', { name: 'edited' });
  blank = await admin.expect(200, 'GET', `/topologies/${id}`);
  await visit();
  await eventually('the visit is logged', async () => (await admin.expect(200, 'GET', '/logs')).total > 0);
});

after(() => suite?.stop());

function visit() {
  const { address, port } = demo.deckies.flatMap((d) => d.endpoints).find((e) => e.service === 'http');
  return new Promise((good, bad) => http.get({ host: address, port, path: '/', agent: false }, (res) => res.resume().on('end', good)).on('error', bad));
}

const away = { status: 503, body: { detail: 'Store unavailable' }, retry: '1' };

async function call(method, path, body) {
  const res = await admin.call(method, path, body);
  return { status: res.status, body: res.body, retry: res.headers.get('retry-after'), id: res.headers.get('x-request-id') };
}

async function unavailable(method, path, body) {
  const { status, body: said, retry } = await call(method, path, body);
  assert.deepEqual({ status, body: said, retry }, away, `${method} ${path}`);
}

/** A 500 says nothing but its number, which is in the log beside the reason. */
async function ours(method, path, body, why) {
  const res = await call(method, path, body);
  assert.equal(res.status, 500, `${method} ${path}: ${JSON.stringify(res.body)}`);
  assert.deepEqual(Object.keys(res.body), ['detail', 'error_id']);
  assert.equal(res.body.detail, 'Internal Server Error');
  assert.match(res.body.error_id, /^[0-9a-f]{32}$/);
  const line = await eventually('the log has it', () => suite.log.split('\n').find((l) => l.includes(res.body.error_id)));
  assert.match(line, / error decnet-api api\.error /);
  assert.ok(line.includes(`request_id=${res.id}`), line);
  assert.match(line, why);
}

const edit = (x) => ['PATCH', `/topologies/${blank.topology.id}/lans/${blank.lans[0].id}`, { x }];
const enqueue = (name) => ['POST', `/topologies/${demo.topology.id}/mutations`, { op: 'add_decky', payload: { name, lan: demo.lans[0].name } }];

for (const [table, gone, there] of [
  ['logs', [['GET', '/logs'], ['GET', '/logs?search=x'], ['GET', '/logs/histogram?search=x']], [['GET', '/stats'], ['GET', '/attackers']]],
  ['attackers', [['GET', '/attackers'], ['GET', '/attackers/export'], ['GET', '/attackers/00000000-0000-7000-8000-000000000000']], [['GET', '/logs']]],
  ['identities', [['GET', '/identities'], ['GET', '/attackers'], ['POST', '/identities/merge', { winner_uuid: '00000000-0000-7000-8000-000000000000', loser_uuid: '00000000-0000-7000-8000-000000000001' }]], [['GET', '/logs'], ['GET', '/topologies']]],
  ['deckies', [['GET', () => `/topologies/${demo.topology.id}`], ['GET', '/stats'], ['POST', '/topologies/blank', { name: 'other' }]], [['GET', '/topologies'], ['GET', '/identities']]],
  ['mutations', [['GET', () => `/topologies/${demo.topology.id}/mutations`], ['POST', () => enqueue('no-table')[1], () => enqueue('no-table')[2]]], [['GET', () => `/topologies/${demo.topology.id}`]]],
  ['workers', [['GET', '/workers']], [['GET', '/config']]],
  ['rate_windows', [['POST', '/auth/login', { username: 'admin', password: 'wrong' }], ['POST', '/auth/change-password', { old_password: 'x', new_password: 'twelve-bytes-long' }]], [['GET', '/config']]],
])
  test(`without the table ${table} what needs it is 503, and the rest is as before`, async () => {
    const plain = (x) => (typeof x === 'function' ? x() : x);
    sql(suite, `ALTER TABLE ${table} RENAME TO ${table}_away;`);
    try {
      for (const [method, path, body] of gone) await unavailable(method, plain(path), plain(body));
      for (const [method, path] of there) assert.equal((await call(method, plain(path))).status, 200, `${path}`);
    } finally {
      sql(suite, `ALTER TABLE ${table}_away RENAME TO ${table};`);
    }
    for (const [method, path, body] of gone)
      await eventually(`${plain(path)} is back`, async () => {
        const { status } = await call(method, plain(path), plain(body));
        return status !== 503 && status !== 500;
      });
  });

test('without users nobody is let in or shut out: 503 everywhere, also for streams and bad tokens of good form', async () => {
  const v = new Viewer(suite.url, '/identities/events', { token: admin.token });
  await v.event('snapshot');
  sql(suite, 'ALTER TABLE users RENAME TO users_away;');
  try {
    for (const path of ['/config', '/topologies', '/logs', '/health', '/identities/events', '/stream']) await unavailable('GET', path);
    await unavailable('POST', '/auth/logout');
    await unavailable('POST', '/auth/sse-ticket');
    await unavailable('POST', '/auth/login', { username: 'admin', password: 'wrong' });
    assert.equal((await new Api(suite.url, 'not.a.token').get('/config')).status, 401);
    assert.equal((await fetch(`${suite.url}/healthz`)).status, 200);
  } finally {
    sql(suite, 'ALTER TABLE users_away RENAME TO users;');
  }
  assert.equal(v.ended, false);
  const [method, path, body] = edit(1);
  assert.equal((await call(method, path, body)).status, 200);
  v.cut();
});

test('a stream whose snapshot cannot be read says so and ends', async () => {
  sql(suite, 'ALTER TABLE identities RENAME TO identities_away;');
  try {
    const v = new Viewer(suite.url, '/identities/events', { token: admin.token });
    assert.deepEqual((await v.event('error')).data, { message: 'Stream interrupted' });
    await v.end();
    assert.deepEqual(
      v.frames.map((f) => f.event),
      ['error'],
    );
  } finally {
    sql(suite, 'ALTER TABLE identities_away RENAME TO identities;');
  }
  const v = new Viewer(suite.url, '/identities/events', { token: admin.token });
  await v.event('snapshot');
  v.cut();
});

test('without the journal nothing is changed, reads go on, and open streams heal', async () => {
  const { id } = blank.topology;
  const v = new Viewer(suite.url, `/topologies/${id}/events`, { token: admin.token });
  await v.event('snapshot');
  const before = await admin.expect(200, 'GET', `/topologies/${id}`);
  sql(suite, 'ALTER TABLE journal RENAME TO journal_away;');
  try {
    await unavailable(...edit(7));
    await unavailable(...enqueue('unjournaled'));
    await unavailable('POST', '/topologies/blank', { name: 'unjournaled' });
    await unavailable('POST', `/topologies/${id}/deploy`);
    assert.deepEqual(await admin.expect(200, 'GET', `/topologies/${id}`), before);
    const ready = await fetch(`${suite.url}/readyz`);
    assert.equal(ready.status, 503);
    assert.equal((await ready.json()).checks.journal, 'failing');
  } finally {
    sql(suite, 'ALTER TABLE journal_away RENAME TO journal;');
  }
  const [method, path, body] = edit(8);
  assert.equal((await call(method, path, body)).status, 200);
  await v.wait('the edit', (f) => f.event === 'changed' && f.data.payload.changes[0].row.x === 8);
  assert.equal(v.frames.filter((f) => f.event === 'changed').length, 1);
  assert.equal((await fetch(`${suite.url}/readyz`)).status, 200);
  v.cut();
});

test('a counter that was set back is our bug: 500 with its number in the log, and nothing is stored', async () => {
  const { id } = blank.topology;
  const before = await admin.expect(200, 'GET', `/topologies/${id}`);
  const names = (await admin.expect(200, 'GET', '/topologies')).data.map((t) => t.name);
  const head = value(suite, "SELECT value FROM counters WHERE name = 'journal'");
  sql(suite, `UPDATE counters SET value = ${head - 5} WHERE name = 'journal';`);
  try {
    const why = /why="JOURNAL_INSERT: sqlite: UNIQUE constraint failed: journal\.seq"/;
    await ours(...edit(9), why);
    await ours(...enqueue('twice'), why);
    await ours('POST', '/topologies/blank', { name: 'twice' }, why);
    await ours('POST', `/topologies/${id}/deploy`, undefined, why);
    assert.deepEqual(await admin.expect(200, 'GET', `/topologies/${id}`), before);
    assert.deepEqual((await admin.expect(200, 'GET', '/topologies')).data.map((t) => t.name), names);
    assert.equal((await (await fetch(`${suite.url}/readyz`)).json()).checks.journal, 'failing');
  } finally {
    sql(suite, `UPDATE counters SET value = (SELECT max(seq) FROM journal) WHERE name = 'journal';`);
  }
  const [method, path, body] = edit(10);
  assert.equal((await call(method, path, body)).status, 200);
  const queue = value(suite, "SELECT value FROM counters WHERE name = 'queue'");
  const [m, p, b] = enqueue('queued');
  assert.equal((await call(m, p, b)).status, 202);
  sql(suite, `UPDATE counters SET value = ${queue} WHERE name = 'queue';`);
  await ours(...enqueue('queued-twice'), /why="MUTATION_INSERT: sqlite: UNIQUE constraint failed: mutations\.queue_no"/);
  sql(suite, `UPDATE counters SET value = (SELECT max(queue_no) FROM mutations) WHERE name = 'queue';`);
});

test('access whose end could not be told does not end by halves', async () => {
  const user = await admin.user('half', 'viewer');
  const epoch = value(suite, "SELECT value FROM counters WHERE name = 'access_epoch'");
  sql(suite, "DELETE FROM counters WHERE name = 'access_epoch';");
  try {
    const res = await user.post('/auth/logout');
    assert.deepEqual([res.status, res.body], [503, { detail: 'Store unavailable' }]);
    assert.equal((await user.get('/topologies')).status, 200);
  } finally {
    sql(suite, `INSERT INTO counters (name, value) VALUES ('access_epoch', ${epoch});`);
  }
  assert.equal((await user.post('/auth/logout')).status, 200);
  assert.equal((await user.get('/topologies')).status, 401);
});

/** Writes until nothing more fits. */
function fill(path) {
  const fd = openSync(path, 'w');
  try {
    for (const size of [1 << 20, 4096, 1]) {
      try {
        for (;;) writeSync(fd, Buffer.alloc(size, 1));
      } catch (e) {
        assert.equal(e.code, 'ENOSPC');
      }
    }
  } finally {
    closeSync(fd);
  }
}

test('on a full disk reads go on, writes are 503, and what visitors left comes when there is room', { skip: noMount }, async (t) => {
  if (!inside) {
    const { NODE_TEST_CONTEXT: _, ...clean } = process.env;
    const dir = mkdtempSync(join(tmpdir(), 'decnet-full-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const script = 'mount -t tmpfs -o size=12m tmpfs "$2" && exec "$0" --test --test-name-pattern="full disk" --test-reporter=tap "$1"';
    const env = { ...clean, TMPDIR: dir, DECNET_BUILD: build, DECNET_E2E_INSIDE: 'full disk' };
    const run = spawnSync('unshare', [...wrap, 'sh', '-c', script, process.execPath, new URL(import.meta.url).pathname, dir], { env, encoding: 'utf8', timeout: 200000 });
    assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
    assert.match(run.stdout, /^ok \d+ - on a full disk(?!.*# SKIP)/m);
    return;
  }
  const { id } = blank.topology;
  const v = new Viewer(suite.url, `/topologies/${id}/events`, { token: admin.token });
  await v.event('snapshot');
  const { total } = await admin.expect(200, 'GET', '/logs');
  const filler = join(tmpdir(), 'filler');
  let stored = 0;
  fill(filler);
  // The journal file of the database may have room that it has used before.
  const full = await eventually('a write is refused', async () => {
    const [method, path, body] = edit(1000 + stored);
    const res = await call(method, path, body);
    if (res.status !== 200) return res;
    stored++;
    fill(filler);
    return null;
  });
  assert.deepEqual({ status: full.status, body: full.body, retry: full.retry }, away);
  for (const path of ['/topologies', `/topologies/${id}`, '/logs', '/identities', '/attackers', '/config']) assert.equal((await call('GET', path)).status, 200, path);
  assert.equal((await fetch(`${suite.url}/healthz`)).status, 200);
  for (let i = 0; i < 5; i++) await visit();
  await unavailable('POST', '/topologies/blank', { name: 'no room' });
  rmSync(filler);
  await eventually('there is room', async () => (await call('POST', '/topologies/blank', { name: 'room' })).status === 201);
  await eventually('every visit is logged', async () => (await admin.expect(200, 'GET', '/logs?search=event:request')).total >= 6);
  assert.ok((await admin.expect(200, 'GET', '/logs')).total > total);
  const [method, path, body] = edit(5000);
  assert.equal((await call(method, path, body)).status, 200);
  await v.wait('the edit', (f) => f.event === 'changed' && f.data.payload.changes[0].row.x === 5000);
  assert.equal(v.frames.filter((f) => f.event === 'changed').length, stored + 1);
  v.cut();
});
