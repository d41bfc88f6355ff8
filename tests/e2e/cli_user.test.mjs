// SPDX-License-Identifier: Apache-2.0
// `decnet user`, `watch` and `bus` from outside: what they do, and what they say of input that is wrong.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { ADMIN_PASSWORD, Suite, decnet, eventually, freePort } from './lib/suite.mjs';

const FIRST = 'the-first-password-set';
const SECOND = 'the-second-password-set';
const following = new Set();
let suite, admin, env, home;

before(async () => {
  suite = await Suite.start({ DECNET_SSE_MAX_PER_USER: '0', DECNET_LIMITER_ENABLED: 'false' });
  suite.cli('demo');
  admin = await Api.admin(suite);
  // A home without a token: each test logs in or brings one.
  home = mkdtempSync(join(tmpdir(), 'decnet-home-'));
  env = { ...suite.env, DECNET_ADMIN_PASSWORD: '', HOME: home, DECNET_URL: suite.url };
});

after(async () => {
  // One that is left over by a test that failed would keep this file from ending.
  for (const child of following) child.kill('SIGKILL');
  rmSync(home, { recursive: true, force: true });
  await suite?.stop();
});

function run(args, { input = '', as, extra = {} } = {}) {
  const r = spawnSync(decnet, args, { env: { ...env, ...(as ? { DECNET_TOKEN: as } : {}), ...extra }, input, encoding: 'utf8', timeout: 30000 });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

const tokenFile = () => join(home, '.decnet/token');

test('users are added, listed, given roles, reset and deleted', () => {
  const as = admin.token;
  assert.deepEqual(run(['user', 'add', 'ann'], { as, input: `${FIRST}\n` }), { code: 0, out: 'added\n', err: '' });
  assert.match(run(['user', 'list'], { as }).out, /^[0-9a-f-]{36} {2}viewer +ann {2}\(must change the password\)$/m);
  assert.equal(run(['user', 'add', 'ann'], { as, input: `${FIRST}\n` }).code, 5);
  assert.equal(run(['user', 'role', 'ann', 'admin'], { as }).code, 0);
  assert.match(run(['user', 'list'], { as }).out, / admin +ann /);
  assert.equal(run(['user', 'reset', 'ann'], { as, input: `${SECOND}\n` }).code, 0);
  assert.equal(JSON.parse(run(['--json', 'user', 'add', 'bob', '--role', 'viewer'], { as, input: `${FIRST}\n` }).out).username, 'bob');
  assert.equal(run(['user', 'delete', 'bob'], { as }).code, 0);
  assert.doesNotMatch(run(['user', 'list'], { as }).out, /bob/);
});

test('bad input has a clear answer', async () => {
  const as = admin.token;
  const { token: viewer } = await admin.user('vera', 'viewer');
  const rows = [
    [['user', 'add', 'x'], { as, input: 'short\n' }, 1, /12 to 128 bytes/],
    [['user', 'add', 'x'], { as, input: '' }, 2, /expected on standard input/],
    [['user', 'add', 'x'], { as, input: `${'p'.repeat(300)}\n` }, 2, /at most 128 bytes/],
    [['user', 'add', 'x', '--role', 'boss'], { as, input: `${FIRST}\n` }, 1, /role/],
    [['user', 'add'], { as }, 2, /user add NAME/],
    [['user', 'add', 'x', 'y'], { as }, 2, /user add NAME/],
    [['user', 'add', 'x'], { as: viewer, input: `${FIRST}\n` }, 4, /Insufficient permissions/],
    [['user', 'add', 'x'], { as: 'no.such.token', input: `${FIRST}\n` }, 4, /Could not validate credentials/],
    [['user', 'role', 'nobody', 'admin'], { as }, 3, /no user is named 'nobody'/],
    [['user', 'role', 'vera', 'admin'], { as: viewer }, 4, /only an admin/],
    [['user', 'role', 'admin', 'viewer'], { as }, 4, /Cannot change your own role/],
    [['user', 'list'], { as: viewer }, 4, /only an admin/],
    [['user', 'reset', 'nobody'], { as, input: `${FIRST}\n` }, 3, /no user is named 'nobody'/],
    [['user', 'delete', 'nobody'], { as }, 3, /no user is named 'nobody'/],
    [['user', 'delete', 'admin'], { as }, 4, /Cannot delete your own account/],
    [['user', 'login', '--name', 'vera'], { input: 'wrong-password-of-vera\n' }, 4, /Incorrect username or password/],
    [['user', 'login', '--name', 'vera'], {}, 2, /expected on standard input/],
    [['user', 'login', '--name'], {}, 2, /--name/],
    [['user', 'logout'], {}, 4, /Could not validate credentials/],
    [['user', 'nonsense'], { as }, 2, /user/],
    [['user', 'list'], { as, extra: { DECNET_URL: 'http://127.0.0.1:1' } }, 6, /./],
  ];
  for (const [args, options, code, says] of rows) {
    const r = run(args, options);
    assert.equal(r.code, code, `${args.join(' ')}: ${r.err}`);
    assert.match(r.err, says, args.join(' '));
    assert.equal(r.out, '', args.join(' '));
  }
});

test('log in, change the password, log out', async () => {
  await admin.expect(200, 'POST', '/config/users', { username: 'lou', password: FIRST });
  const login = run(['user', 'login', '--name', 'lou'], { input: `${FIRST}\n` });
  assert.equal(login.code, 0, login.err);
  assert.match(login.err, /must be changed first/);
  assert.equal(statSync(tokenFile()).mode & 0o777, 0o600);
  assert.equal(run(['user', 'list']).code, 4);
  assert.equal(run(['user', 'passwd', '--name', 'lou'], { input: `${FIRST}\nshort\n` }).code, 1);
  assert.equal(run(['user', 'passwd', '--name', 'lou'], { input: `not-the-old-one\n${SECOND}\n` }).code, 4);
  const changed = run(['user', 'passwd', '--name', 'lou'], { input: `${FIRST}\n${SECOND}\n` });
  assert.deepEqual(changed, { code: 0, out: 'changed\n', err: '' });
  // The token that was kept is the new one, so the next change needs no name.
  assert.equal(run(['topology', 'list']).code, 0);
  assert.equal(run(['user', 'passwd'], { input: `${SECOND}\n${FIRST}\n` }).code, 0);
  assert.equal(run(['topology', 'list']).code, 0);
  const other = run(['user', 'logout', '--name', 'admin']);
  assert.equal(other.code, 1);
  assert.match(other.err, /logged in is lou/);
  assert.equal(run(['user', 'logout', '--name', 'lou']).code, 0);
  assert.equal(existsSync(tokenFile()), false);
});

test('reset --offline writes the store, whether the suite runs or not', async () => {
  const olga = await admin.user('olga', 'admin');
  const reset = (args = ['olga'], input = `${FIRST}\n`, extra = {}) => run(['user', 'reset', ...args, '--offline'], { input, extra: { DECNET_URL: 'http://127.0.0.1:1', ...extra } });
  assert.deepEqual(reset(), { code: 0, out: 'reset\n', err: '' });
  await eventually('the old token has ended', async () => (await olga.get('/config')).status === 401);
  const again = await Api.login(suite.url, 'olga', FIRST);
  assert.equal(again.mustChange, true);
  assert.equal((await again.get('/topologies')).status, 403);
  assert.deepEqual(JSON.parse(run(['--json', 'user', 'reset', 'olga', '--offline'], { input: `${SECOND}\n` }).out), { message: 'Password reset successfully' });
  await Api.login(suite.url, 'olga', SECOND);

  const rows = [
    [['nobody'], `${FIRST}\n`, {}, 3, /no user is named 'nobody'/],
    [['olga'], 'short\n', {}, 1, /12 to 128 bytes/],
    [['olga'], `${'p'.repeat(129)}\n`, {}, 1, /12 to 128 bytes/],
    [['olga'], '', {}, 2, /standard input/],
    [[], '', {}, 2, /user reset NAME/],
    [['olga'], `${FIRST}\n`, { DECNET_DB_URL: 'sqlite:/nowhere/decnet.db' }, 1, /no store at/],
    [['olga'], `${FIRST}\n`, { DECNET_DB_URL: 'mongo:x' }, 2, /DECNET_DB_URL/],
    [['olga'], `${FIRST}\n`, { DECNET_API_PORT: 'eighty' }, 2, /DECNET_API_PORT/],
  ];
  for (const [args, input, extra, code, says] of rows) {
    const r = reset(args, input, extra);
    assert.equal(r.code, code, `${args} ${JSON.stringify(extra)}: ${r.err}`);
    assert.match(r.err, says);
  }
  assert.equal(existsSync('/nowhere'), false);
  assert.match(run(['user', 'reset', 'admin', '--offline'], { input: `${FIRST}\n`, extra: { DECNET_ADMIN_PASSWORD: ADMIN_PASSWORD } }).err, /DECNET_ADMIN_PASSWORD/);
  admin = await Api.login(suite.url, 'admin', FIRST);
  await admin.expect(200, 'POST', '/auth/change-password', { old_password: FIRST, new_password: SECOND });
  admin = await Api.login(suite.url, 'admin', SECOND);

  // A store that nobody serves.
  const dir = mkdtempSync(join(tmpdir(), 'decnet-cold-'));
  const cold = await Suite.start({ DECNET_STATE_DIR: dir });
  await cold.stop();
  assert.equal(reset(['admin'], `${FIRST}\n`, { DECNET_STATE_DIR: dir }).code, 0);
  const warm = await Suite.start({ DECNET_STATE_DIR: dir, DECNET_ADMIN_PASSWORD: '' });
  try {
    assert.equal((await Api.login(warm.url, 'admin', FIRST)).mustChange, true);
  } finally {
    await warm.stop();
    rmSync(dir, { recursive: true, force: true });
  }
});

/** Lines of a program until `stop()`. */
function follow(args, { as = admin.token, extra = {} } = {}) {
  const child = spawn(decnet, args, { env: { ...env, DECNET_TOKEN: as, ...extra } });
  const f = { out: '', err: '' };
  following.add(child);
  child.stdout.on('data', (d) => (f.out += d));
  child.stderr.on('data', (d) => (f.err += d));
  f.exited = new Promise((good, bad) => {
    child.on('close', (code) => {
      following.delete(child);
      good(code);
    });
    setTimeout(() => bad(new Error(`${args.join(' ')} did not end: ${f.out} ${f.err}`)), 90000).unref();
  });
  f.exited.catch(() => {});
  f.lines = () => f.out.split('\n').slice(0, -1);
  f.kill = (signal) => child.kill(signal);
  return f;
}

test('watch follows each of the five streams', async () => {
  const { id } = await admin.demoTopology();
  const { body } = await admin.get(`/topologies/${id}`);
  const e = body.deckies.flatMap((d) => d.endpoints).find((x) => x.service === 'http');
  await fetch(`http://${e.address}:${e.port}/`);
  const attacker = await eventually('the attacker is known', async () => (await admin.get('/attackers')).body.data[0]);
  for (const args of [[], ['events'], ['events', '--topics', 'decky.*.state,topology.>'], ['identities'], ['topology', 'demo'], ['topology', id], ['attacker', attacker.uuid], ['log']]) {
    const r = run(['--json', 'watch', ...args, '--count', '1'], { as: admin.token });
    assert.equal(r.code, 0, `${args}: ${r.err}`);
    const frame = JSON.parse(r.out);
    assert.deepEqual(Object.keys(frame), ['id', 'event', 'data'], `${args}`);
    assert.equal(frame.event, 'snapshot');
    assert.equal(frame.id, frame.data.watermark);
  }
  const from = JSON.parse(run(['--json', 'watch', '--count', '1'], { as: admin.token }).out).id - 3;
  const resumed = run(['--json', 'watch', '--last-event-id', String(from), '--count', '3'], { as: admin.token });
  assert.deepEqual(resumed.out.trim().split('\n').map((l) => JSON.parse(l).id), [from + 1, from + 2, from + 3]);
});

test('watch goes on by itself after the gateway was killed, and ends when it is interrupted', async () => {
  const w = follow(['--json', 'watch', 'topology', 'demo']);
  const { id } = await admin.demoTopology();
  // Traffic of the visits before may come on its heels.
  await eventually('the snapshot', () => w.lines().length > 0);
  await suite.kill('decnet-api');
  await suite.ready();
  await admin.expect(202, 'POST', `/topologies/${id}/mutations`, { op: 'add_lan', payload: { name: 'watched' } });
  await eventually('what came after it', () => w.out.includes('"mutation.applied"'), 30000);
  const events = w.lines().map((l) => JSON.parse(l).event);
  assert.equal(events.filter((x) => x === 'snapshot').length, 1);
  assert.ok(events.includes('resumed'));
  w.kill('SIGINT');
  assert.equal(await w.exited, 130);
});

test('watch ends when access does', async () => {
  const wanda = await admin.user('wanda', 'viewer');
  const w = follow(['watch', 'identities'], { as: wanda.token });
  await eventually('the snapshot', () => w.lines().length > 0);
  await wanda.expect(200, 'POST', '/auth/logout');
  assert.equal(await w.exited, 4);
  assert.match(w.err, /access has ended.*revoked/);
});

test('watch says what it cannot watch', () => {
  const nobody = '01a1fdaf-88b8-7309-89b7-6c65c24636e9';
  const rows = [
    [['nonsense'], 2, /no such stream/],
    [['topology'], 2, /which one/],
    [['attacker'], 2, /which one/],
    [['identities', 'x'], 2, /one word too many/],
    [['log', '--topics', 'a.>'], 2, /--topics is for events only/],
    [['--count', '0'], 2, /--count/],
    [['--count', 'many'], 2, /--count/],
    [['--last-event-id', 'x'], 2, /--last-event-id/],
    [['--topics', 'system.log'], 1, /query\.topics/],
    [['--topics', 'topology.a b'], 1, /query\.topics/],
    [['--topics', 'x'.repeat(5000)], 2, /too long/],
    [['topology', 'no such one'], 3, /no topology is named/],
    [['topology', nobody], 3, /Topology not found/],
    [['attacker', nobody], 3, /Attacker not found/],
    [['attacker', '../../healthz?'], 3, /./],
  ];
  for (const [args, code, says] of rows) {
    const r = run(['watch', ...args], { as: admin.token });
    assert.equal(r.code, code, `${args}: ${r.err}`);
    assert.match(r.err, says, `${args}`);
  }
  assert.equal(run(['watch'], { as: 'no.such.token' }).code, 4);
  for (const args of [[], ['--last-event-id', '5']]) assert.equal(run(['watch', ...args], { as: admin.token, extra: { DECNET_URL: 'http://127.0.0.1:1' } }).code, 6);
});

test('bus sub prints what bus pub says', async () => {
  const connections = () => readFileSync('/proc/net/unix', 'utf8').split('\n').filter((l) => l.endsWith(env.DECNET_BUS_SOCKET)).length;
  const others = connections();
  const plain = follow(['bus', 'sub', 'ext.>', 'topology.*.ext.note', '--count', '3']);
  const json = follow(['--json', 'bus', 'sub', 'ext.>', '--count', '2']);
  const pair = [0, 1].map(() => follow(['bus', 'sub', 'ext.work', '--queue', 'hands']));
  await eventually('all are connected', () => connections() === others + 4);
  // Subscribed when a message comes back to one that came after them.
  const probe = follow(['bus', 'sub', 'probe.>', '--count', '1']);
  await eventually('the bus hears', () => run(['bus', 'pub', 'probe.x']).code === 0 && probe.out !== '');
  assert.equal(run(['bus', 'pub', 'topology.t.ext.note', '{"text": "ä"}']).code, 0);
  assert.equal(run(['bus', 'pub', 'ext.raw', '--raw', 'any text']).code, 0);
  assert.equal(run(['bus', 'pub', 'ext.in', '-'], { input: '{"n": 1}' }).code, 0);
  assert.equal(await plain.exited, 0);
  assert.equal(await json.exited, 0);
  const [note, raw, piped] = plain.lines();
  assert.match(note, /^topology\.t\.ext\.note \{"v":1,"id":"[0-9a-f]{32}","topic":"topology\.t\.ext\.note","type":"ext\.note","ts":[0-9.]+,"payload":\{"text":"ä"\}\}$/);
  assert.equal(raw, 'ext.raw any text');
  assert.match(piped, /^ext\.in .*"payload":\{"n":1\}\}$/);
  assert.deepEqual(json.lines().map((l) => JSON.parse(l).subject), ['ext.raw', 'ext.in']);
  assert.equal(JSON.parse(json.lines()[0]).data, 'any text');
  for (let i = 0; i < 8; i++) assert.equal(run(['bus', 'pub', 'ext.work', '--raw', String(i)]).code, 0);
  await eventually('each was worked once', () => pair.reduce((n, p) => n + p.lines().length, 0) === 8);
  for (const p of pair) {
    p.kill('SIGINT');
    assert.equal(await p.exited, 130);
  }
});

test('bus says what it cannot do', () => {
  const away = { DECNET_BUS_SOCKET: join(home, 'no.sock') };
  const rows = [
    [['pub'], {}, 2],
    [['pub', 'ext..a'], {}, 2],
    [['pub', 'ext.*', '{}'], {}, 2],
    [['pub', 'ext.a', 'no json'], {}, 2],
    [['pub', 'ext.a', '[1]'], {}, 2],
    [['pub', 'ext.a', '-'], {}, 0],
    [['sub'], {}, 2],
    [['sub', 'a.>.b'], {}, 2],
    [['sub', 'a', '--count', '0'], {}, 2],
    [['sub', 'a', '--queue', ''], {}, 2],
    [['pub', 'ext.a'], away, 6],
    [['sub', 'ext.a'], away, 6],
    [['pub', 'ext.a'], { DECNET_BUS_ENABLED: 'false' }, 6],
    [['pub', 'ext.a'], { DECNET_BUS_TYPE: 'carrier-pigeon' }, 2],
  ];
  for (const [args, extra, code] of rows) {
    const r = run(['bus', ...args], { extra });
    assert.equal(r.code, code, `${args}: ${r.err}`);
    if (code !== 0) assert.notEqual(r.err, '', `${args}`);
  }
});

test('no password is in the log', () => {
  for (const secret of [FIRST, SECOND, readFileSync(join(suite.dir, 'jwt.secret'), 'utf8').trim()]) assert.ok(!suite.log.includes(secret));
});

test('a suite in the background: the first password is printed to who started it, once, and is not in its log', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'decnet-e2e-up-'));
  const env = { ...suite.env, HOME: dir, DECNET_STATE_DIR: dir, DECNET_BUS_SOCKET: join(dir, 'bus.sock'), DECNET_API_PORT: String(await freePort()) };
  delete env.DECNET_ADMIN_PASSWORD;
  const go = (...args) => spawnSync(decnet, args, { env, encoding: 'utf8', timeout: 60000 });
  try {
    for (const first of [true, false]) {
      const up = go('up');
      assert.equal(up.status, 0, up.stderr);
      const password = /^decnet: first admin: user admin, password (\S{24}) /m.exec(up.stderr)?.[1];
      assert.equal(password !== undefined, first, up.stderr);
      const log = readFileSync(join(dir, 'decnet.log'), 'utf8');
      assert.ok(!log.includes('first admin'), log);
      if (first) {
        const r = await fetch(`http://127.0.0.1:${env.DECNET_API_PORT}/api/v1/auth/login`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ username: 'admin', password }),
        });
        assert.equal((await r.json()).must_change_password, true);
      }
      assert.equal(go('down').status, 0);
    }
  } finally {
    go('down');
    rmSync(dir, { recursive: true, force: true });
  }
});
