// SPDX-License-Identifier: Apache-2.0
// Forged, broken and stale tokens in each of the three ways in: always the same 401, and not a byte of them in a log.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { claimsOf, forgeries, sign } from './lib/jwt.mjs';
import { exchange, Raw } from './lib/raw.mjs';
import { eventually, Suite } from './lib/suite.mjs';

const SECRET = 'a-secret-of-the-tests-that-signs-every-token';
const STREAM = '/api/v1/identities/events';
const used = new Set();
let suite, admin, rows;

before(async () => {
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false', DECNET_JWT_SECRET: SECRET });
  admin = await Api.admin(suite);
  rows = forgeries(admin.token, SECRET);
});

after(async () => {
  await suite?.stop();
});

/** One connection for many requests: the answers, in the order of the targets. */
async function askAll(requests) {
  const answers = [];
  for (let i = 0; i < requests.length; i += 50) {
    const some = requests.slice(i, i + 50);
    const got = await exchange(suite.port, some);
    assert.equal(got.length, some.length, `answers to requests ${i} and on`);
    answers.push(...got);
  }
  return answers;
}

const byHeader = (token) => `GET /api/v1/config HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`;
const inQuery = (key, token) => `GET ${STREAM}?${key}=${encodeURIComponent(token)} HTTP/1.1\r\nHost: a\r\n\r\n`;

function isRefusal(answer, name) {
  assert.equal(answer.status, 401, `${name}: ${answer.status} ${answer.body}`);
  assert.deepEqual(answer.json, { detail: 'Could not validate credentials' }, name);
  assert.equal(answer.headers.get('www-authenticate'), 'Bearer', name);
  assert.equal(answer.headers.get('content-type'), 'application/json', name);
  assert.equal(answer.headers.get('cache-control'), 'no-store', name);
}

async function allRefused(make) {
  const answers = await askAll(rows.map(([, token]) => make(token)));
  for (const [, token] of rows) used.add(token);
  rows.forEach(([name], i) => isRefusal(answers[i], name));
}

test('every forgery in the header is a 401', () => allRefused(byHeader));

test('every forgery as ?token= is a 401', () => allRefused((t) => inQuery('token', t)));

test('every forgery as ?ticket= is a 401', () => allRefused((t) => inQuery('ticket', t)));

test('the same claims, signed by hand, are good: the table fails for what it says', async () => {
  const token = sign({ alg: 'HS256', typ: 'JWT' }, claimsOf(admin.token), SECRET);
  used.add(token);
  for (const good of [token, sign({ typ: 'JWT', alg: 'HS256' }, claimsOf(admin.token), SECRET), sign({ alg: 'HS256' }, claimsOf(admin.token), SECRET)]) {
    const [answer] = await exchange(suite.port, byHeader(good));
    assert.equal(answer.status, 200, answer.body);
  }
  const stream = new Raw(suite.port);
  stream.send(inQuery('token', token));
  await stream.until('the stream', () => stream.text.includes('event: snapshot'));
  stream.cut();
});

test('the scheme is Bearer in any case and one blank', async () => {
  for (const [value, status] of [
    [`Bearer ${admin.token}`, 200], [`bearer ${admin.token}`, 200], [`BEARER ${admin.token}`, 200],
    [`Bearer  ${admin.token}`, 401], [`Bearer\t${admin.token}`, 401], [`Bearer${admin.token}`, 401], [`Basic ${admin.token}`, 401],
    [`Token ${admin.token}`, 401], [admin.token, 401], ['Bearer', 401], ['Bearer ', 401], ['', 401],
    [`Bearer ${admin.token}, Bearer ${admin.token}`, 401],
  ]) {
    const [answer] = await exchange(suite.port, `GET /api/v1/config HTTP/1.1\r\nHost: a\r\nAuthorization: ${value}\r\n\r\n`);
    assert.equal(answer.status, status, value.slice(0, 20));
    if (status === 401) isRefusal(answer, value.slice(0, 20));
  }
});

test('two Authorization fields are no request: who reads the other one would see another user', async () => {
  const other = sign({ alg: 'HS256', typ: 'JWT' }, { ...claimsOf(admin.token), uuid: '0195f000-0000-7000-8000-000000000000' }, SECRET);
  used.add(other);
  for (const [one, two] of [[admin.token, other], [other, admin.token], [admin.token, admin.token]]) {
    const answers = await exchange(suite.port, `GET /api/v1/config HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${one}\r\nauthorization: Bearer ${two}\r\n\r\n`);
    assert.equal(answers.length, 1);
    assert.equal(answers[0].status, 400);
    assert.deepEqual(answers[0].json, { detail: 'Malformed HTTP request' });
  }
});

test('a failed way in is not mended by another one', async () => {
  const { ticket } = await admin.expect(200, 'POST', '/auth/sse-ticket');
  used.add(ticket);
  for (const [target, header] of [
    [`${STREAM}?token=${admin.token}`, 'Authorization: Bearer x\r\n'],
    [`${STREAM}?ticket=${ticket}`, 'Authorization: Bearer x\r\n'],
    [`${STREAM}?ticket=x&token=${admin.token}`, ''],
    [`${STREAM}?token=${admin.token}&ticket=x`, ''],
    ['/api/v1/config?token=' + admin.token, ''],
    ['/api/v1/config?ticket=' + ticket, ''],
  ]) {
    const [answer] = await exchange(suite.port, `GET ${target} HTTP/1.1\r\nHost: a\r\n${header}\r\n`);
    isRefusal(answer, target.slice(0, 40));
  }
  const stream = new Raw(suite.port);
  stream.send(`GET ${STREAM}?ticket=${ticket} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await stream.until('the ticket is still good', () => stream.text.includes('event: snapshot'));
  stream.cut();
});

test('a token of 100 KB is over the ceiling of its place', async () => {
  const huge = sign({ alg: 'HS256', typ: 'JWT' }, { ...claimsOf(admin.token), x: 'y'.repeat(75000) }, SECRET);
  used.add(huge);
  for (const [request, status, detail] of [
    [byHeader(huge), 431, 'Request header fields too large'],
    [inQuery('token', huge), 414, 'URI too long'],
    [inQuery('ticket', huge), 414, 'URI too long'],
  ]) {
    const r = new Raw(suite.port);
    r.send(request);
    const [answer] = await r.answers(1);
    assert.equal(answer.status, status);
    assert.deepEqual(answer.json, { detail });
    await r.end();
  }
});

test('NUL in a token: raw it is no request, escaped it is no token', async () => {
  const [raw] = await exchange(suite.port, byHeader(`${admin.token}\0`));
  assert.equal(raw.status, 400);
  assert.deepEqual(raw.json, { detail: 'Malformed HTTP request' });
  for (const key of ['token', 'ticket']) {
    for (const value of [`${admin.token}%00`, `%00${admin.token}`, '%00', `${admin.token}%`, `${admin.token}%zz`, `${admin.token}%ff`]) {
      const [answer] = await exchange(suite.port, `GET ${STREAM}?${key}=${value} HTTP/1.1\r\nHost: a\r\n\r\n`);
      isRefusal(answer, `${key}=${value.slice(-4)}`);
    }
  }
});

test('a token ends with its exp, its user and its logout, in each way in', async () => {
  const leaver = await admin.user('leaver', 'viewer');
  const short = sign({ alg: 'HS256', typ: 'JWT' }, { ...claimsOf(leaver.token), exp: Math.floor(Date.now() / 1000) }, SECRET);
  used.add(short);
  used.add(leaver.token);
  await leaver.expect(200, 'POST', '/auth/logout');
  for (const token of [short, leaver.token]) {
    isRefusal((await exchange(suite.port, byHeader(token)))[0], 'header');
    isRefusal((await exchange(suite.port, inQuery('token', token)))[0], 'query');
  }
  const second = await leaver.call('POST', '/auth/logout');
  assert.equal(second.status, 401);
  assert.deepEqual(second.body, { detail: 'Could not validate credentials' });
});

test('not a byte of a token is in the log', async () => {
  used.add(admin.token);
  await exchange(suite.port, 'GET /the-end-of-the-test HTTP/1.1\r\nHost: a\r\n\r\n');

  await eventually('the log has caught up', () => suite.log.includes('/the-end-of-the-test'));
  assert.ok(suite.log.includes('/api/v1/identities/events'), 'requests are logged at all');
  for (const token of used) {
    for (const part of token.split('.').filter((p) => p.length >= 16)) {
      for (const piece of [part.slice(0, 40), part.slice(-40)]) {
        const at = suite.log.indexOf(piece);
        assert.equal(at, -1, `found: ${suite.log.slice(Math.max(0, at - 80), at + 40)}`);
      }
    }
  }
  for (const key of ['token=', 'ticket=', 'Bearer', SECRET]) assert.ok(!suite.log.includes(key), key);
});
