// SPDX-License-Identifier: Apache-2.0
// Every route of the server's own description: who gets what, HEAD and OPTIONS and wrong methods, headers, and origins.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Api } from './lib/api.mjs';
import { exchange } from './lib/raw.mjs';
import { Suite } from './lib/suite.mjs';

const NOBODY = '0195f000-0000-7000-8000-000000000000';
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
const FRIEND = 'https://friend.example';
let suite, admin, viewer, fresh, doc, routes;

before(async () => {
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false', DECNET_CORS_ORIGINS: `https://other.example:8443, ${FRIEND}` });
  admin = await Api.admin(suite);
  viewer = await admin.user('analyst', 'viewer');
  await admin.expect(200, 'POST', '/config/users', { username: 'fresh', password: 'password-number-one' });
  fresh = await Api.login(suite.url, 'fresh', 'password-number-one');
  doc = await (await fetch(`${suite.url}/openapi.json`)).json();
  routes = Object.entries(doc.paths).flatMap(([path, ops]) => Object.entries(ops).map(([method, op]) => ({ path, method: method.toUpperCase(), op, stream: Boolean(op.responses['200']?.content?.['text/event-stream']) })));
});

after(async () => {
  await suite?.stop();
});

/** A path of the route with something in the place of each parameter. */
const example = (path) => path.replace(/\{name\}/g, 'nobody').replace(/\{(decky|svc)\}/g, 'nobody').replace(/\{\w+\}/g, NOBODY);

async function ask(method, path, who, fields = [], methods = [method]) {
  const token = who?.token;
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: a', 'Connection: close', ...(token ? [`Authorization: Bearer ${token}`] : []), ...fields];
  const answers = await exchange(suite.port, `${lines.join('\r\n')}\r\n\r\n`, { methods });
  assert.equal(answers.length, 1, `${method} ${path}`);
  return answers[0];
}

/** Without reading a stream: its status and head. */
async function open(path, who) {
  const stop = new AbortController();
  const res = await fetch(`${suite.url}${path}`, { headers: who ? { Authorization: `Bearer ${who.token}` } : {}, signal: stop.signal });
  stop.abort();
  return { status: res.status, headers: res.headers };
}

test('the description is valid OpenAPI 3.1 and names every parameter', async () => {
  const validator = new Validator();
  const result = await validator.validate(structuredClone(doc));
  assert.ok(result.valid, JSON.stringify(result.errors));
  assert.equal(validator.version, '3.1');
  assert.ok(routes.length > 60);
  for (const { path, op } of routes) {
    const named = (op.parameters ?? []).filter((p) => p.in === 'path').map((p) => p.name);
    assert.deepEqual(named, [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]), path);
    assert.ok(op.summary.length > 3, path);
  }
  // Nothing is described twice under another name.
  const shapes = routes.map(({ method, path }) => `${method} ${path.replace(/\{\w+\}/g, '{}')}`);
  assert.equal(new Set(shapes).size, shapes.length);
});

test('every route answers as described: without a token, with must-change, as a viewer, as an admin', async () => {
  for (const { path, method, op, stream } of routes) {
    const what = `${method} ${path}`;
    const at = example(path);
    const nobody = await ask(method, at, null);
    if (op.security?.length === 0) {
      assert.notEqual(nobody.status, path.endsWith('/login') ? 200 : 401, what);
      assert.equal(op['x-role'], undefined, what);
      continue;
    }
    assert.equal(nobody.status, 401, what);
    assert.deepEqual(nobody.json, { detail: 'Could not validate credentials' }, what);
    for (const status of ['401', '403']) assert.ok(op.responses[status], `${what}: ${status} is described`);
    const self = ['/api/v1/auth/logout', '/api/v1/auth/change-password'].includes(path);
    const must = self && path.endsWith('logout') ? null : await ask(method, at, fresh);
    if (must && !self) {
      assert.equal(must.status, 403, what);
      assert.deepEqual(must.json, { detail: 'Password change required before accessing this resource' }, what);
    } else if (must) assert.equal(must.status, 422, what);
    if (path.endsWith('/logout')) continue;
    const asViewer = stream ? await open(at + (path.endsWith('/api/v1/events') ? '?topics=identity.>' : ''), viewer) : await ask(method, at, viewer);
    if (op['x-role'] === 'admin') {
      assert.equal(asViewer.status, 403, what);
      assert.deepEqual(asViewer.json, { detail: 'Insufficient permissions' }, what);
    } else assert.ok(![401, 403, 405, 500].includes(asViewer.status), `${what} as a viewer: ${asViewer.status}`);
    // Whatever an admin may do is not done here: unknown resources, no bodies.
    if (stream || ['/api/v1/topologies/reap-orphans', '/api/v1/workers/start-all'].includes(path)) continue;
    const asAdmin = await ask(method, at, admin);
    assert.ok(![401, 403, 405, 500, 501].includes(asAdmin.status), `${what} as an admin: ${asAdmin.status} ${asAdmin.body}`);
    if (method !== 'GET') assert.notEqual(asAdmin.status, 204, what);
  }
});

test('an answer of a described route is JSON with the headers that keep it from being read otherwise', async () => {
  for (const { path, method, stream } of routes) {
    if (stream || path.endsWith('/logout') || ['/api/v1/topologies/reap-orphans', '/api/v1/workers/start-all'].includes(path)) continue;
    for (const who of [null, viewer]) {
      const answer = await ask(method, example(path), who);
      const what = `${method} ${path} ${answer.status}`;
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', what);
      assert.equal(answer.headers.get('referrer-policy'), 'no-referrer', what);
      assert.equal(answer.headers.get('cache-control'), 'no-store', what);
      assert.equal(answer.headers.get('server'), undefined, 'no version is told to strangers');
      assert.equal(answer.headers.get('set-cookie'), undefined, 'nothing that a browser would send by itself');
      assert.equal(new Set(answer.fields.map(([n]) => n)).size, answer.fields.length, `${what}: no field twice`);
      if (path !== '/docs') assert.ok(answer.headers.get('content-type').startsWith('application/json'), what);
      if (path !== '/docs') assert.notEqual(answer.json, undefined, what);
      if (answer.status >= 400) assert.equal(typeof answer.json.detail, 'string', what);
      if (/^\/api\/v1\/(topologies|identities|attackers)/.test(path) && method === 'GET' && answer.status === 200) assert.match(answer.headers.get('decnet-watermark') ?? 'none', /^\d+$/, what);
    }
  }
  for (const path of ['/', '/docs']) {
    const page = await ask('GET', path, null);
    assert.match(page.headers.get('content-security-policy'), /(^|; )default-src 'self'(;|$)/, path);
    assert.match(page.headers.get('content-security-policy'), /frame-ancestors 'none'/, path);
    assert.equal(page.headers.get('x-content-type-options'), 'nosniff', path);
    assert.match(page.headers.get('content-type'), /^text\/html/);
  }
});

test('refusals of the server itself carry them, too', async () => {
  for (const [text, status] of [['GET / HTTP/1.1\r\n\r\n', 400], [`GET /${'a'.repeat(9000)} HTTP/1.1\r\n\r\n`, 414], [`GET / HTTP/1.1\r\nX: ${'y'.repeat(40000)}\r\n\r\n`, 431]]) {
    const [answer] = await exchange(suite.port, text);
    assert.equal(answer.status, status);
    for (const [name, value] of [['content-type', 'application/json'], ['cache-control', 'no-store'], ['x-content-type-options', 'nosniff'], ['referrer-policy', 'no-referrer'], ['connection', 'close']]) assert.equal(answer.headers.get(name), value, `${status} ${name}`);
  }
});

test('HEAD on every GET route is the GET without its body; on streams it is a 405', async () => {
  for (const { path, method, stream } of routes) {
    if (method !== 'GET') continue;
    for (const who of [null, viewer]) {
      const at = example(path);
      const head = await ask('HEAD', at, who);
      if (stream) {
        assert.equal(head.status, 405, path);
        assert.equal(head.headers.get('allow'), 'GET, OPTIONS', path);
        continue;
      }
      const get = await ask('GET', at, who);
      assert.equal(head.status, get.status, path);
      assert.equal(head.body, '', path);
      // What changes from one moment to the next aside.
      const still = (a) => Object.fromEntries(a.fields.filter(([n]) => !['date', 'x-request-id', 'decnet-watermark', 'content-disposition', 'content-length'].includes(n)));
      assert.deepEqual(still(head), still(get), path);
      assert.ok(head.headers.get('content-length') > 0, path);
    }
  }
});

test('a wrong method on every path is a 405 that names the right ones, with and without a slash at the end', async () => {
  for (const path of Object.keys(doc.paths)) {
    const has = routes.filter((r) => r.path.replace(/\{\w+\}/g, '{}') === path.replace(/\{\w+\}/g, '{}'));
    const allowed = new Set([...has.map((r) => r.method), ...has.filter((r) => r.method === 'GET' && !r.stream).map(() => 'HEAD'), 'OPTIONS']);
    for (const slash of ['', '/']) {
      const at = example(path) + slash;
      for (const method of [...METHODS, 'HEAD', 'TRACE', 'PROPFIND', 'get']) {
        if (allowed.has(method)) continue;
        const answer = await ask(method, at, admin);
        assert.equal(answer.status, 405, `${method} ${at}`);
        if (method !== 'HEAD') assert.deepEqual(answer.json, { detail: 'Method Not Allowed' });
        assert.deepEqual(new Set(answer.headers.get('allow').split(', ')), allowed, `${method} ${at}`);
      }
      const options = await ask('OPTIONS', at, null);
      assert.equal(options.status, 204, at);
      assert.equal(options.body, '');
      assert.equal(options.headers.get('content-length'), undefined, 'a 204 has no length');
      assert.deepEqual(new Set(options.headers.get('allow').split(', ')), allowed, at);
    }
  }
});

test('a path that is not described is a 404 for everybody; a page only for who wants one, outside /api/', async () => {
  for (const path of ['/api', '/api/', '/api/v1', '/api/v2/config', '/api/v1/nothing', '/metrics', '/.git/config', '/.env', '/admin', '/healthz/x', '/api/v1/config/x']) {
    for (const who of [null, viewer, admin]) {
      const answer = await ask('GET', path, who);
      assert.equal(answer.status, 404, path);
      assert.deepEqual(answer.json, { detail: 'Not Found' });
    }
    const page = await ask('GET', path, null, ['Accept: text/html']);
    assert.equal(page.status, path.startsWith('/api') ? 404 : path === '/healthz/x' || !path.startsWith('/api') ? 200 : 404, path);
  }
});

test('origins: the known ones are named, others get nothing, and never with credentials', async () => {
  const exposed = ['access-control-allow-origin', 'access-control-allow-credentials', 'access-control-allow-methods', 'access-control-allow-headers', 'access-control-expose-headers', 'access-control-max-age'];
  const cors = (a) => Object.fromEntries(exposed.filter((n) => a.headers.get(n) !== undefined).map((n) => [n, a.headers.get(n)]));
  const preflight = (origin, path = '/api/v1/topologies') => ask('OPTIONS', path, null, [...(origin === null ? [] : [`Origin: ${origin}`]), 'Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: authorization, content-type']);
  for (const path of ['/api/v1/topologies', '/api/v1/identities/events', '/api/v1/auth/login', '/healthz']) {
    const good = await preflight(FRIEND, path);
    assert.equal(good.status, 204);
    assert.equal(good.headers.get('access-control-allow-origin'), FRIEND);
    assert.deepEqual(new Set(good.headers.get('access-control-allow-methods').split(', ')), new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']));
    assert.deepEqual(new Set(good.headers.get('access-control-allow-headers').split(', ')), new Set(['Authorization', 'Content-Type', 'Last-Event-ID']));
    assert.equal(good.headers.get('access-control-allow-credentials'), undefined);
    assert.equal(good.headers.get('vary'), 'Origin');
  }
  for (const origin of [null, 'null', '*', '', 'https://evil.example', 'http://friend.example', `${FRIEND}:443`, `${FRIEND}.evil.example`, `${FRIEND}/`, 'https://FRIEND.example', `${FRIEND}, https://evil.example`, 'https://xfriend.example', 'friend.example']) {
    for (const answer of [await preflight(origin), await ask('GET', '/api/v1/config', admin, origin === null ? [] : [`Origin: ${origin}`])]) {
      assert.deepEqual(cors(answer), {}, origin);
      assert.equal(answer.headers.get('vary'), 'Origin', 'caches must know');
    }
  }
  for (const [path, who, status] of [['/api/v1/config', admin, 200], ['/api/v1/config', null, 401], ['/api/v1/nothing', null, 404], ['/healthz', null, 200], [`/api/v1/topologies/${NOBODY}`, viewer, 404]]) {
    const answer = await ask('GET', path, who, [`Origin: ${FRIEND}`]);
    assert.equal(answer.status, status);
    assert.deepEqual(cors(answer), { 'access-control-allow-origin': FRIEND, 'access-control-expose-headers': 'Decnet-Watermark, Retry-After' }, path);
  }
  const stream = await fetch(`${suite.url}/api/v1/identities/events`, { headers: { Authorization: `Bearer ${viewer.token}`, Origin: 'https://other.example:8443' } });
  assert.equal(stream.headers.get('access-control-allow-origin'), 'https://other.example:8443');
  assert.equal(stream.headers.get('cache-control'), 'no-cache');
  assert.equal(stream.headers.get('x-content-type-options'), 'nosniff');
  await stream.body.cancel();
});

test('every answer names its request: the client\'s name when it is a plain one, else a fresh one', async () => {
  const ask = async (headers, path = '/healthz') => (await fetch(`${suite.url}${path}`, { headers })).headers.get('x-request-id');
  const first = await ask({});
  assert.match(first, /^[0-9a-f]{32}$/);
  assert.notEqual(await ask({}), first);
  assert.equal(await ask({ 'x-request-id': 'a-Z_0.9' }), 'a-Z_0.9');
  assert.equal(await ask({ 'x-request-id': 'x'.repeat(64) }), 'x'.repeat(64));
  for (const bad of ['x'.repeat(65), 'a b', 'a;b', '<script>', 'a"b', '']) assert.match(await ask({ 'x-request-id': bad }), /^[0-9a-f]{32}$/, bad);
  for (const path of ['/api/v1/config', '/api/v1/nothing', '/', '/api/v1/identities/events']) assert.ok(await ask({}, path), path);
});
