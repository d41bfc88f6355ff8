// SPDX-License-Identifier: Apache-2.0
// What every other answer is made of: access, identities, logs, attackers, stats, health, workers; filters, times, pages, names of users.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { NOBODY, any, bool, detail, envelope, fits, int, listOf, maybe, num, object, refused, str, time, uuid, value, ask, askAll, bodyText, wrongBodies, brokenBodies } from './lib/contract.mjs';
import { ADMIN_PASSWORD, Suite, eventually } from './lib/suite.mjs';

let suite, admin, viewer, page, web, telnet, redis;

const talk = ({ address, port }, ...lines) => new Promise((good) => {
  const s = connect(port, address);
  let text = '';
  s.on('data', (d) => {
    text += d.toString('latin1');
    if (lines.length) s.write(lines.shift());
    else s.end();
  });
  s.on('error', () => good(text));
  s.on('close', () => good(text));
  setTimeout(() => s.destroy(), 4000).unref();
});

before(async () => {
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false' });
  suite.cli('demo');
  admin = await Api.admin(suite);
  viewer = await admin.user('analyst', 'viewer');
  const { deckies } = await admin.expect(200, 'GET', `/topologies/${(await admin.demoTopology()).id}`);
  const at = (service) => deckies.flatMap((d) => d.endpoints).find((e) => e.service === service);
  [web, telnet, redis] = ['http', 'telnet', 'redis'].map(at);
  page = `http://${web.address}:${web.port}`;
  await fetch(`${page}/wp-login.php?a="b"`, { headers: { 'User-Agent': 'probe "one" 1.0' } });
  await fetch(`${page}/`, { method: 'POST', body: 'log=a&pwd=b' });
  await talk(telnet, 'root\r\n', 'admin\r\n', 'uname -a\r\n', 'exit\r\n');
  const r = connect(redis.port, redis.address);
  r.write('AUTH secret\r\nINFO\r\nQUIT\r\n');
  await new Promise((good) => r.on('close', good).on('error', good).resume());
  await eventually('what was done is known', async () => {
    const { data } = await admin.expect(200, 'GET', '/attackers');
    return data.length > 0 && data[0].services.length === 3 && data[0].credential_count > 0 && data[0].identity_id;
  });
});

after(async () => {
  await suite?.stop();
});

const get = (path) => viewer.expect(200, 'GET', path);
const hex = (v, at) => assert.match(v, /^[0-9a-f]{16}$/, at);
const strs = listOf(str);
const IDENTITY = {
  uuid, schema_version: value(1), campaign_id: value(null), first_seen_at: time, last_seen_at: time, created_at: time, updated_at: time, confidence: num, observation_count: int,
  ja3_hashes: strs, hassh_hashes: strs, ja4h_hashes: strs, ja4_quic_hashes: strs, http_versions_seen: strs, tls_cert_sha256: strs, ipv6_link_local_iids: strs, payload_simhashes: strs, c2_endpoints: strs,
  kd_digraph_simhash: maybe(hex), merged_into_uuid: maybe(uuid), notes: maybe(str),
};
const COMMAND = { service: str, decky: str, command: str, timestamp: time };
const NULLS = ['country_code', 'country_source', 'asn', 'as_name', 'bgp_prefix', 'asn_source', 'rpki_status', 'rpki_source', 'ptr_record'];
const ATTACKER = {
  uuid, ip: str, identity_id: maybe(uuid), first_seen: time, last_seen: time, updated_at: time, event_count: int, service_count: int, decky_count: int, bounty_count: int, credential_count: int,
  services: strs, deckies: strs, traversal_path: maybe(str), is_traversal: bool, fingerprints: listOf({ primitive: str, value: str, source: str, first_seen: time }), commands: listOf(COMMAND),
  rotation_count: int, last_rotation_at: maybe(time), behavior: maybe({ behavior_class: maybe(str), tool_guesses: strs, ssh_client_banners: strs, timing_stats: object, updated_at: time }),
  ...Object.fromEntries(NULLS.map((k) => [k, value(null)])),
};
const LOG = {
  id: int, timestamp: time, topology_id: maybe(uuid), decky: str, service: str, event_type: str, attacker_ip: str, attacker_uuid: uuid, raw_line: str, fields: (v) => object(JSON.parse(v)), msg: maybe(str),
  trace_id: maybe(str), span_id: maybe(str),
};

test('access: tokens, tickets, users', async () => {
  const login = await new Api(suite.url).expect(200, 'POST', '/auth/login', { username: 'analyst', password: 'password-number-two' });
  fits(login, { access_token: str, token_type: value('bearer'), must_change_password: value(false) });
  const [head, claims] = login.access_token.split('.').slice(0, 2).map((p) => JSON.parse(Buffer.from(p, 'base64url')));
  assert.equal(head.alg, 'HS256');
  fits(claims, { uuid, jti: (v) => assert.match(v, /^[0-9a-f]{32}$/), iat: num, exp: int, iss: value('decnet'), aud: value('decnet-dashboard'), typ: value('access') });
  fits(await viewer.expect(200, 'POST', '/auth/sse-ticket'), { ticket: (v) => assert.match(v, /^[A-Za-z0-9_-]{43}$/), expires_in: value(60) });
  const own = { uuid, username: str, role: value('admin', 'viewer'), version: str, net_driver: value('loopback', 'netns'), pool: value('172.16.0.0/12'), sse_max_per_user: value(5) };
  fits(await get('/config'), own);
  const user = { uuid, username: str, role: value('admin', 'viewer'), must_change_password: bool };
  fits(await admin.expect(200, 'GET', '/config'), { ...own, users: listOf(user) });
  const made = await admin.expect(200, 'POST', '/config/users', { username: 'third', password: 'x'.repeat(12) });
  fits(made, { ...user, must_change_password: value(true) });
  assert.equal(made.role, 'viewer');
  const third = `/config/users/${made.uuid}`;
  assert.deepEqual(await admin.expect(200, 'PUT', `${third}/role`, { role: 'admin' }), { message: 'User role updated' });
  assert.deepEqual(await admin.expect(200, 'PUT', `${third}/reset-password`, { new_password: 'y'.repeat(128) }), { message: 'Password reset successfully' });
  assert.deepEqual(await admin.expect(200, 'DELETE', third), { message: 'User deleted' });
  assert.deepEqual(await admin.expect(404, 'DELETE', third), { detail: 'User not found' });
  const gone = new Api(suite.url, login.access_token);
  assert.deepEqual(await gone.expect(200, 'POST', '/auth/logout'), { message: 'Logged out' });
  assert.deepEqual(await gone.expect(401, 'POST', '/auth/logout'), { detail: 'Could not validate credentials' });
  assert.deepEqual(await admin.expect(401, 'POST', '/auth/change-password', { old_password: ADMIN_PASSWORD, new_password: 'z'.repeat(12) }), { detail: 'Incorrect old password' });
  const same = 'second-password-of-the-tests';
  refused(await ask(suite, admin.token, 'POST', '/auth/change-password', bodyText({ old_password: same, new_password: same })), 'new_password', 'equal ones', (await admin.call('POST', '/auth/change-password', { old_password: same, new_password: same })).body.detail);
});

test('users: what a name and a password may be', async () => {
  for (const username of ['x', 'ä'.repeat(64), 'a b', '🦊', 'Analyst']) {
    const { uuid: id, username: kept } = await admin.expect(200, 'POST', '/config/users', { username, password: 'password-number-one' });
    assert.equal(kept, username);
    await admin.expect(200, 'DELETE', `/config/users/${id}`);
  }
  for (const username of ['', 'ä'.repeat(65), ' a', 'a ', 'a\tb', '\u0000', '\u007f']) refused(await ask(suite, admin.token, 'POST', '/config/users', bodyText({ username, password: 'password-number-one' })), 'username', JSON.stringify(username));
  for (const password of ['', 'x'.repeat(11), 'x'.repeat(129), 'ä'.repeat(65)]) refused(await ask(suite, admin.token, 'POST', '/config/users', bodyText({ username: 'n', password })), 'password', `${password.length}`);
  const { uuid: id } = await admin.expect(200, 'POST', '/config/users', { username: 'six-characters', password: 'äääääö' });
  await admin.expect(200, 'DELETE', `/config/users/${id}`);
});

const TEXT = (more = {}) => ({ kind: 'text', required: true, ...more });
const BODIES = [
  { route: ['POST', '/config/users'], good: { username: 'a', password: 'x'.repeat(12) }, fields: { username: TEXT(), password: TEXT(), role: { kind: 'word' } } },
  { route: ['PUT', `/config/users/${NOBODY}/role`], good: { role: 'viewer' }, fields: { role: { kind: 'word', required: true } } },
  { route: ['PUT', `/config/users/${NOBODY}/reset-password`], good: { new_password: 'x'.repeat(12) }, fields: { new_password: TEXT() } },
  { route: ['POST', '/auth/login'], good: { username: 'a', password: 'b' }, fields: { username: TEXT(), password: TEXT() } },
  { route: ['POST', '/identities/merge'], good: { winner_uuid: NOBODY, loser_uuid: NOBODY }, fields: { winner_uuid: TEXT(), loser_uuid: TEXT() } },
  { route: ['POST', `/identities/${NOBODY}/notes`], good: { text: 'a' }, fields: { text: TEXT({ bad: ['x'.repeat(4097)] }) } },
  { route: ['POST', `/identities/${NOBODY}/split`], good: { observation_uuids: [NOBODY] }, fields: { observation_uuids: { kind: 'texts', required: true, inner: [[[5], 'observation_uuids.0'], [[NOBODY, null], 'observation_uuids.1'], [[], 'observation_uuids'], [Array(1001).fill(NOBODY), 'observation_uuids']] } } },
];
for (const row of BODIES) {
  const [method, path] = row.route;
  test(`${method} ${path.replace(NOBODY, '…')}: every field, every wrong value`, async () => {
    const cases = wrongBodies(row.good, row.fields);
    for (let i = 0; i < cases.length; i += 20) {
      const some = cases.slice(i, i + 20);
      const got = await askAll(suite, admin.token, some.map(([, body]) => [method, path, bodyText(body)]));
      some.forEach(([what, , field], k) => refused(got[k], field, `${path}: ${what}`));
    }
    const broken = brokenBodies(row.good);
    const got = await askAll(suite, admin.token, broken.map(([, body]) => [method, path, body]));
    broken.forEach(([what, , text], i) => assert.deepEqual([got[i].status, got[i].json], [400, { detail: text }], `${path}: ${what}`));
  });
}

test('logs: rows, pages, search, times', async () => {
  const all = await get('/logs?limit=1000');
  fits(all, envelope(LOG));
  assert.deepEqual(all.data.map((l) => l.id), all.data.map((l) => l.id).sort((a, b) => b - a), 'newest first');
  assert.ok(all.data.every((l) => !/[\u0000-\u001f\u007f]/.test(l.raw_line)));
  const keys = { auth: ['username', 'password', 'method', 'ok'], request: ['method', 'path', 'host', 'user_agent', 'status'], command: ['command'], disconnect: ['duration_s', 'bytes_in', 'bytes_out', 'reason'], fingerprint: ['primitive', 'value'] };
  for (const [type, names] of Object.entries(keys)) {
    const rows = all.data.filter((l) => l.event_type === type);
    for (const l of rows) assert.deepEqual(Object.keys(JSON.parse(l.fields)).filter((k) => k !== 'session_id').sort(), [...names].sort(), l.fields);
    if (['auth', 'request', 'command'].includes(type)) assert.ok(rows.length > 0, type);
  }
  const found = async (query) => (await get(`/logs?limit=1000&${query}`)).data;
  const q = (text) => found(`search=${encodeURIComponent(text)}`);
  assert.ok((await q('service:http')).every((l) => l.service === 'http'));
  assert.ok((await q('event:request path:/wp-login.php?a=%22b%22')).length >= 0);
  assert.deepEqual((await q('service:http event:request')).map((l) => l.id), all.data.filter((l) => l.service === 'http' && l.event_type === 'request').map((l) => l.id), 'all terms hold');
  assert.ok((await q('username:root')).every((l) => JSON.parse(l.fields).username === 'root'));
  assert.ok((await q('command:"uname -a"')).length > 0, 'quotes are kept together');
  assert.deepEqual(await q('service:nothing'), []);
  assert.ok((await q('"unbalanced')).length >= 0);
  for (const key of ['attacker', 'attacker-ip', 'attacker_ip']) assert.equal((await q(`${key}:127.0.0.1`)).length, all.data.filter((l) => l.attacker_ip === '127.0.0.1').length, key);
  for (const none of ['null', 'NULL', 'undefined', '']) assert.equal((await get(`/logs?search=${none}&start_time=${none}&end_time=${none}`)).total, all.total, none);
  const t = all.data.at(-1).timestamp;
  const later = new Date(Date.parse(t) + 1).toISOString();
  assert.ok((await get(`/logs?start_time=${later}`)).total < all.total);
  for (const same of [t, t.replace('Z', '+00:00'), t.replace('Z', ''), new Date(Date.parse(t) + 7200000).toISOString().replace('Z', '+02:00')])
    assert.equal((await get(`/logs?start_time=${encodeURIComponent(same)}`)).total, all.total, same);
  assert.deepEqual((await get('/logs?limit=2&offset=1')).data, all.data.slice(1, 3));
  const bars = await get('/logs/histogram?interval_minutes=1');
  fits(bars, listOf({ time, count: int }));
  assert.deepEqual(bars.map((b) => b.time), bars.map((b) => b.time).sort());
  assert.equal(bars.reduce((n, b) => n + b.count, 0), all.total);
  fits(await get('/stats'), { total_logs: value(all.total), unique_attackers: value(1), active_deckies: int, deployed_deckies: int });
});

test('attackers: rows, commands, files, the export', async () => {
  const list = await get('/attackers');
  fits(list, envelope(ATTACKER));
  const [row] = list.data;
  const one = await get(`/attackers/${row.uuid}`);
  const { service_activity, observations, ...rest } = one;
  fits(rest, ATTACKER);
  fits(service_activity, { interacted: strs, scanned: strs });
  fits(observations, listOf({ primitive: str, value: str, confidence: num, ts: time, source: str }));
  assert.deepEqual(service_activity.interacted, [...service_activity.interacted].sort());
  assert.ok(!service_activity.scanned.some((s) => service_activity.interacted.includes(s)));
  assert.deepEqual(observations.map((o) => o.primitive), observations.map((o) => o.primitive).sort());
  const commands = await get(`/attackers/${row.uuid}/commands`);
  fits(commands, envelope(COMMAND));
  assert.equal(commands.total, one.commands.length);
  for (const service of ['telnet', 'nothing', 'null', '']) assert.equal((await get(`/attackers/${row.uuid}/commands?service=${service}`)).total, commands.data.filter((c) => ['null', '', c.service].includes(service)).length, service);
  for (const what of ['artifacts', 'transcripts']) fits(await get(`/attackers/${row.uuid}/${what}`), { total: int, data: listOf(LOG) });
  for (const path of ['', '/commands', '/artifacts', '/transcripts']) for (const id of [NOBODY, 'x']) assert.deepEqual(await viewer.expect(404, 'GET', `/attackers/${id}${path}`), { detail: 'Attacker not found' });
  for (const [query, n] of [['search=127.0', 1], ['search=10.9', 0], ['search=null', 1], ['search=', 1], ['service=http', 1], ['service=htt', 0], ['service=undefined', 1], ['sort_by=active', 1], ['sort_by=traversals', 1], ['search=%25', 0], ['search=_', 0]]) assert.equal((await get(`/attackers?${query}`)).total, n, query);
  const res = await viewer.get('/attackers/export');
  assert.match(res.headers.get('content-disposition'), /^attachment; filename="decnet-export-[0-9TZ_:-]+\.json"$/);
  fits(res.body, { export_metadata: { source: value('DECNET Honeypot'), version: str, exported_at: time, total_records: value(1), schema_version: value('1.0') }, observations: listOf({ ...ATTACKER, geoip: value(null), network: value(null), threat_intel: value(null) }) });
});

test('identities: rows and routes', async () => {
  const list = await get('/identities');
  fits(list, envelope(IDENTITY));
  const [row] = list.data;
  const { observation_count_live, merged_from, ...rest } = await get(`/identities/${row.uuid}`);
  fits(rest, IDENTITY);
  fits({ observation_count_live, merged_from }, { observation_count_live: int, merged_from: listOf(uuid) });
  fits(await get(`/identities/${row.uuid}/observations`), envelope(ATTACKER));
  fits(await get(`/identities/${row.uuid}/evidence`), envelope({ a: uuid, b: uuid, signal: value('tls', 'ssh', 'tls+ssh', 'payload', 'c2', 'credential', 'command', 'keystroke', 'analyst'), value: maybe(str), weight: maybe(num), at: time }));
  for (const path of ['', '/observations', '/evidence']) for (const id of [NOBODY, 'x']) assert.deepEqual(await viewer.expect(404, 'GET', `/identities/${id}${path}`), { detail: 'Identity not found' });
  const note = await admin.expect(201, 'POST', `/identities/${row.uuid}/notes`, { text: 'one' });
  fits(note, { uuid: value(row.uuid), notes: (v) => assert.match(v, /^\d{4}-\S+Z admin: one$/) });
  for (const [path, body] of [['notes', { text: 'a' }], ['split', { observation_uuids: [NOBODY] }]]) assert.deepEqual(await admin.expect(404, 'POST', `/identities/${NOBODY}/${path}`, body), { detail: 'Identity not found' });
  assert.deepEqual(await admin.expect(409, 'POST', '/identities/merge', { winner_uuid: row.uuid, loser_uuid: row.uuid }), { detail: 'identities are already one' });
  const [own] = (await get(`/identities/${row.uuid}/observations`)).data;
  assert.deepEqual(await admin.expect(409, 'POST', `/identities/${row.uuid}/split`, { observation_uuids: [own.uuid] }), { detail: 'split would leave the identity without observations' });
});

test('health and workers', async () => {
  assert.deepEqual(await (await fetch(`${suite.url}/healthz`)).json(), { status: 'ok' });
  assert.deepEqual(await (await fetch(`${suite.url}/readyz`)).json(), { status: 'ready', checks: { store: 'ok', schema: 'ok', journal: 'ok' } });
  const part = { status: value('ok', 'failing'), detail: maybe(str) };
  fits(await get('/health'), { status: value('healthy'), components: { database: part, bus: part, mutator: part, resolver: part, decoy: part, netdriver: part } });
  const workers = await get('/workers');
  fits(workers, { workers: listOf({ name: str, status: value('ok', 'stale', 'unknown'), last_heartbeat_ts: maybe(num), seconds_since: maybe(num), extra: object, installed: bool }), generated_at: time, bus_connected: value(true) });
  assert.deepEqual(workers.workers.map((w) => w.name).sort(), ['api', 'bus', 'decoy', 'mutator', 'netd', 'resolver']);
  for (const action of ['start', 'stop']) assert.deepEqual(await admin.expect(404, 'POST', `/workers/nobody/${action}`), { detail: "Unknown worker: 'nobody'" });
  fits(await admin.expect(200, 'POST', '/workers/start-all'), { started: strs, already_running: strs, failed: listOf({ name: str, reason: str }) });
  assert.deepEqual(await admin.expect(202, 'POST', '/workers/resolver/start'), { accepted: true, worker: 'resolver', action: 'start' });
});

test('every GET answers HEAD, every path OPTIONS, with and without a slash', async () => {
  const head = { Authorization: `Bearer ${viewer.token}` };
  const t = await admin.demoTopology();
  fits(await get(`/topologies/${t.id}`), detail);
  for (const path of ['/config', '/topologies', `/topologies/${t.id}`, '/topologies/services', '/topologies/archetypes', '/topologies/next-subnet', '/identities', '/logs', '/logs/histogram', '/stats', '/attackers', '/attackers/export', '/health', '/workers']) {
    for (const tail of ['', '/']) {
      const url = `${suite.url}/api/v1${path}${tail}`;
      const [a, b, c] = await Promise.all([fetch(url, { headers: head }), fetch(url, { headers: head, method: 'HEAD' }), fetch(url, { method: 'OPTIONS' })]);
      assert.deepEqual([a.status, b.status, c.status], [200, 200, 204], path + tail);
      assert.equal(await b.text(), '');
      for (const r of [a, b]) {
        assert.deepEqual([r.headers.get('cache-control'), r.headers.get('x-content-type-options'), r.headers.get('referrer-policy')], ['no-store', 'nosniff', 'no-referrer'], path);
        const marked = /^\/(topologies|identities|attackers)/.test(path);
        if (marked) assert.match(r.headers.get('decnet-watermark') ?? '', /^\d+$/, path);
      }
    }
  }
});
