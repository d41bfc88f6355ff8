// SPDX-License-Identifier: Apache-2.0
// Peers that are slow, greedy or strange on the HTTP port: a clear answer for each, and everybody else is served.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from './lib/api.mjs';
import { rssMiB, sanitized } from './lib/proc.mjs';
import { bytes, exchange, parseAnswers, Raw } from './lib/raw.mjs';
import { build, Suite } from './lib/suite.mjs';

let suite, admin, bearer;

before(async () => {
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false' });
  admin = await Api.admin(suite);
  bearer = `Authorization: Bearer ${admin.token}\r\n`;
});

after(async () => {
  await suite?.stop();
});

const head = (line, ...fields) => `${line}\r\nHost: a\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;

function isDetail(answer, status, detail, what = '') {
  assert.equal(answer?.status, status, `${what}: ${answer?.status} ${answer?.body}`);
  assert.deepEqual(answer.json, { detail }, what);
  assert.equal(answer.headers.get('content-type'), 'application/json', what);
}

/** One request on a connection of its own; its only answer. */
async function ask(...parts) {
  const answers = await exchange(suite.port, parts);
  assert.equal(answers.length, 1, `answers to ${bytes(parts).subarray(0, 60)}`);
  return answers[0];
}

test('slow heads and bodies end with 408 at their deadline, however they trickle, and others are served meanwhile', async () => {
  const login = 'POST /api/v1/auth/login HTTP/1.1';
  const rows = [
    ['a head byte by byte', '', head('GET /healthz HTTP/1.1', `X: ${'y'.repeat(30000)}`)],
    ['a head that stops in its request line', 'GET /heal', ''],
    ['a head that stops before its end', 'GET /healthz HTTP/1.1\r\nHost: a\r\nX: y', ''],
    ['a head that stops before its last byte', 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r', ''],
    ['a head field by field', 'GET /healthz HTTP/1.1\r\n', 'X: y\r\n'.repeat(5000)],
    ['a second head that stops', `${head('GET /healthz HTTP/1.1')}GET /heal`, '', 1],
    ['a body byte by byte', head(login, 'Content-Type: application/json', 'Content-Length: 100000'), ' '.repeat(100000)],
    ['a body that stops', `${head(login, 'Content-Type: application/json', 'Content-Length: 100')}{`, ''],
    ['a chunk that stops', `${head(login, 'Content-Type: application/json', 'Transfer-Encoding: chunked')}5\r\nhel`, ''],
    ['chunk by chunk', head(login, 'Content-Type: application/json', 'Transfer-Encoding: chunked'), '1\r\n \r\n'.repeat(20000)],
    ['a chunk size that stops', `${head(login, 'Content-Type: application/json', 'Transfer-Encoding: chunked')}5`, ''],
    ['trailers without an end', `${head(login, 'Content-Type: application/json', 'Transfer-Encoding: chunked')}0\r\n`, 'X: y\r\n'.repeat(1000)],
  ];
  let served = 0;
  let done = false;
  const others = (async () => {
    while (!done) {
      assert.equal((await admin.get('/config')).status, 200);
      served++;
      await pause(100);
    }
  })();
  await Promise.all(
    rows.map(async ([what, first, rest, before = 0]) => {
      const r = new Raw(suite.port);
      r.send(first);
      // One byte, then a rest: never so much at a time that the deadline is met.
      for (let at = 0; at < rest.length && !r.closed; at++) {
        r.send(rest[at]);
        await pause(50);
      }
      await r.end(60000);
      const answers = parseAnswers(r.text);
      assert.equal(answers.length, before + 1, `${what}: ${r.text.slice(-200)}`);
      isDetail(answers[before], 408, 'Request timeout', what);
      assert.equal(answers[before].headers.get('connection'), 'close', what);
    }),
  );
  done = true;
  await others;
  assert.ok(served > 20, `only ${served} requests of others were served`);
});

test('the ceilings of heads: 414 and 431, then the connection closes', async () => {
  const line = (n) => `GET /${'a'.repeat(n - 'GET / HTTP/1.1'.length)} HTTP/1.1`;
  const many = (n) => Array.from({ length: n }, (_, i) => `X-${i}: y`);
  assert.equal((await ask(head(line(8192)))).status, 404, 'a request line of 8 KiB');
  assert.equal((await ask(head('GET /healthz HTTP/1.1', ...many(99)))).status, 200, '100 fields with Host');
  assert.equal((await ask(head('GET /healthz HTTP/1.1', `X: ${'y'.repeat(32000)}`))).status, 200, 'a little under 32 KiB');
  for (const [what, status, detail, ...parts] of [
    ['a request line of 8 KiB and 1', 414, 'URI too long', head(line(8193))],
    ['a request line without end', 414, 'URI too long', `GET /${'a'.repeat(20000)}`],
    ['a method without end', 414, 'URI too long', 'A'.repeat(20000)],
    ['101 fields', 431, 'Request header fields too large', head('GET /healthz HTTP/1.1', ...many(100))],
    ['10,000 fields', 431, 'Request header fields too large', head('GET /healthz HTTP/1.1', ...many(10000))],
    ['a field of 33 KiB', 431, 'Request header fields too large', head('GET /healthz HTTP/1.1', `X: ${'y'.repeat(33 * 1024)}`)],
    ['a field without end', 431, 'Request header fields too large', `GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(60000)}`],
    ['fields without end', 431, 'Request header fields too large', `GET /healthz HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(10000)}`],
    ['a name of 33 KiB', 431, 'Request header fields too large', head('GET /healthz HTTP/1.1', `${'X'.repeat(33 * 1024)}: y`)],
  ]) {
    const r = new Raw(suite.port);
    r.send(parts, head('GET /healthz HTTP/1.1'));
    const [answer] = await r.answers(1);
    isDetail(answer, status, detail, what);
    assert.equal(answer.headers.get('connection'), 'close', what);
    await r.end();
    assert.equal(parseAnswers(r.text).length, 1, `${what}: nothing behind it is answered`);
  }
});

test('a body over 1 MiB is refused by its length without being read, and chunked when it passes the mark', async () => {
  const type = 'Content-Type: application/json';
  const login = (...fields) => head('POST /api/v1/auth/login HTTP/1.1', type, ...fields);
  const r = new Raw(suite.port);
  r.send(login('Content-Length: 99999999999'));
  const [early] = await r.answers(1);
  isDetail(early, 413, 'Request body too large');
  await r.end();
  // Exactly the ceiling is read; one byte more is not.
  const padded = (n) => `{"username":"x","password":"y"${' '.repeat(n - 31)}}`;
  assert.equal((await ask(login('Content-Length: 1048576'), padded(1048576))).status, 401);
  isDetail(await ask(login('Content-Length: 1048577'), padded(1048577)), 413, 'Request body too large');
  const chunks = (n) => [Array.from({ length: n }, () => `10000\r\n${' '.repeat(65536)}\r\n`), '0\r\n\r\n'];
  isDetail(await ask(login('Transfer-Encoding: chunked'), chunks(17)), 413, 'Request body too large');
  isDetail(await ask(login('Transfer-Encoding: chunked'), chunks(16)), 400, 'Malformed JSON body');
});

test('a hundred requests in one segment are answered in order', async () => {
  const kinds = [
    ['GET /healthz HTTP/1.1', [], 200],
    ['HEAD /healthz HTTP/1.1', [], 200],
    ['GET /nothing HTTP/1.1', [], 404],
    ['GET /api/v1/config HTTP/1.1', [], 401],
    ['GET /api/v1/topologies HTTP/1.1', [bearer.trim()], 200],
    ['DELETE /healthz HTTP/1.1', [], 405],
    ['OPTIONS /healthz HTTP/1.1', [], 204],
    ['POST /api/v1/auth/login HTTP/1.1', ['Content-Type: application/json', 'Content-Length: 2'], 422, '{}'],
    ['POST /api/v1/auth/login HTTP/1.1', ['Content-Type: application/json', 'Transfer-Encoding: chunked'], 422, '2\r\n{}\r\n0\r\n\r\n'],
    ['GET /readyz HTTP/1.1', [], 200],
  ];
  const plan = Array.from({ length: 100 }, (_, i) => kinds[(i * 7 + (i >> 3)) % kinds.length]);
  const answers = await exchange(suite.port, plan.map(([line, fields, , body]) => [head(line, ...fields), body ?? '']), { methods: plan.map(([line]) => line.split(' ')[0]) });
  assert.deepEqual(answers.map((a) => a.status), plan.map(([, , status]) => status));
  assert.equal(answers.rest, '');
});

test('peers that ask a thousand times and never read hold no more than a buffer each', async () => {
  const pid = suite.pid('decnet-api');
  const before = rssMiB(pid);
  const peers = Array.from({ length: 20 }, () => new Raw(suite.port));
  await Promise.all(peers.map((r) => r.opened));
  for (const r of peers) {
    r.socket.pause();
    r.send(Array.from({ length: 1000 }, () => head('GET /openapi.json HTTP/1.1')));
  }
  for (let i = 0; i < 20; i++) assert.equal((await admin.get('/config')).status, 200);
  const grown = rssMiB(pid) - before;
  // 20,000 answers of some 30 KiB each would be 600 MiB.
  if (!sanitized(pid)) assert.ok(grown < 64, `${grown} MiB more`);
  for (const r of peers) r.cut();
});

test('strange request lines and methods', async () => {
  for (const [what, text, status, check] of [
    ['absolute form', head('GET http://other:80/healthz HTTP/1.1'), 200],
    ['absolute form, https', head('GET https://other/healthz HTTP/1.1'), 200],
    ['absolute form with a query', head('GET http://other/healthz?a=b HTTP/1.1'), 200],
    ['absolute form without a path', head('GET http://other HTTP/1.1'), 400],
    ['authority form', head('GET other:80 HTTP/1.1'), 400],
    ['CONNECT', head('CONNECT other:443 HTTP/1.1'), 400],
    ['CONNECT with a path', head('CONNECT /healthz HTTP/1.1'), 405],
    ['OPTIONS *', head('OPTIONS * HTTP/1.1'), 204, (a) => assert.equal(a.headers.get('allow'), 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')],
    ['GET *', head('GET * HTTP/1.1'), 400],
    ['TRACE', head('TRACE /healthz HTTP/1.1'), 405, (a) => assert.equal(a.headers.get('allow'), 'GET, HEAD, OPTIONS')],
    ['TRACK', head('TRACK /healthz HTTP/1.1'), 405],
    ['a made-up method', head('BREW /healthz HTTP/1.1'), 405],
    ['a method in small letters', head('get /healthz HTTP/1.1'), 405],
    ['a made-up method for nothing', head('BREW /nothing HTTP/1.1'), 404],
    ['a method of 33 characters', head(`${'A'.repeat(33)} /healthz HTTP/1.1`), 400],
    ['HTTP/0.9', 'GET /healthz\r\n', 400],
    ['HTTP/1.0 without a Host', 'GET /healthz HTTP/1.0\r\n\r\n', 200, (a) => assert.equal(a.headers.get('connection'), 'close')],
    ['HTTP/1.1 without a Host', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['HTTP/2.0', head('GET /healthz HTTP/2.0'), 400],
    ['HTTP/3', head('GET /healthz HTTP/3'), 400],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 400],
    ['a TLS hello', Buffer.from('16030100c8010000c40303', 'hex'), 400],
    ['an RTSP request', 'DESCRIBE rtsp://a/b RTSP/1.0\r\n\r\n', 400],
    ['a SIP request', 'OPTIONS sip:a SIP/2.0\r\n\r\n', 400],
    ['an SMTP client', 'EHLO a\r\n', 400],
    ['an SSH client', 'SSH-2.0-x\r\n', 400],
    ['empty lines only', '\r\n\r\n\r\n', 0],
    ['a line feed', '\n', 400],
    ['a NUL', '\0', 400],
    ['an 0xff', '\xff', 400],
  ]) {
    const answers = await exchange(suite.port, text);
    assert.equal(answers[0]?.status ?? 0, status, what);
    assert.ok(answers.length <= 1, what);
    if (status === 400) {
      isDetail(answers[0], 400, 'Malformed HTTP request', what);
      assert.equal(answers[0].headers.get('connection'), 'close', what);
    }
    if (status === 405) isDetail(answers[0], 405, 'Method Not Allowed', what);
    check?.(answers[0]);
  }
});

test('HTTP/1.0 keeps a connection only when asked', async () => {
  const kept = await exchange(suite.port, 'GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /healthz HTTP/1.0\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n');
  assert.deepEqual(kept.map((a) => a.status), [200, 200]);
  const closed = await exchange(suite.port, `GET /healthz HTTP/1.0\r\n\r\n${head('GET /healthz HTTP/1.1')}`);
  assert.deepEqual(closed.map((a) => a.status), [200]);
});

test('NUL and bytes that are not UTF-8: nothing in a path, 422 in a query, 400 in JSON', async () => {
  for (const path of ['/%00', '/healthz%00', '/api/v1/topologies/%00', '/api/v1/topologies/%ff', '/api/v1/topologies/%c0%af', '/api/v1/topologies/%ed%a0%80', '/api/v1/topologies/%', '/api/v1/topologies/%4', '/api/v1/topologies/%zz', '/api/v1/topologies/..%2f..', '/../etc/passwd', '/..%2f..%2fetc%2fpasswd', '/api/v1/%74opologies%2f', '/assets/..%2findex.html', '/assets/../index.html', '//healthz', '/healthz//', '/./healthz', '/api/v1//topologies']) {
    const answer = await ask(head(`GET ${path} HTTP/1.1`, bearer.trim()));
    assert.equal(answer.status, 404, path);
    assert.ok(!answer.body.includes('root:'), path);
  }
  for (const query of ['limit=%00', 'limit=%ff', '%ff=1', 'limit=%', 'limit=%4', 'limit=%zz', 'a%00=b', Array(200).fill('a=b').join('&')]) {
    const answer = await ask(head(`GET /api/v1/topologies?${query} HTTP/1.1`, bearer.trim()));
    assert.equal(answer.status, 422, query.slice(0, 40));
    assert.equal(answer.json.detail, 'Invalid request parameters');
    assert.ok(answer.json.errors.length >= 1);
  }
  const post = (path, body, ...fields) => ask(head(`POST /api/v1${path} HTTP/1.1`, bearer.trim(), 'Content-Type: application/json', `Content-Length: ${bytes(body).length}`, ...fields), body);
  for (const body of ['', ' ', '{', '{"name":"a"', '{"name":"a"}x', '{"name":"a",}', "{'name':'a'}", '{name:"a"}', '{"name":"\xff"}', '{"name":"\xc0\xaf"}', '{"name":"\xed\xa0\x80"}', '{"name":"\\ud800"}', '{"name":"\\udc00\\ud800"}', '{"name":"a\0"}', '\0', '{"name":"a\nb"}', '{"name":"\\x41"}', '\xef\xbb\xbf{"name":"a"}', '{"name":"a","name":"b"}', `{"x":1e999,${'-inf'.repeat(100000)}`, `[${'1e999,'.repeat(100000)}`, '{"x":NaN}', '{"x":Infinity}', '{"x":01}', '{"x":+1}', '{"x":0x1}', '// a\n{}', `${'[' .repeat(100000)}`, `{"x":${'['.repeat(40)}${']'.repeat(40)}}`, `{"a":`.repeat(33) + '1' + '}'.repeat(33), bytes('{"name":"a"}').swap16()]) {
    if (body === '') continue;
    isDetail(await post('/topologies/blank', body), 400, 'Malformed JSON body', JSON.stringify(String(body).slice(0, 40)));
  }
  for (const body of ['[]', '"text"', '1', 'null', 'true', '[{"name":"a"}]']) isDetail(await post('/topologies/blank', body), 400, 'Request body must be a JSON object', body);
  for (const [path, body, field] of [
    ['/topologies/blank', '{"name":"a\\u0000b"}', 'name'],
    ['/topologies/blank', '{"name":"a\\u001bb"}', 'name'],
    ['/topologies/blank', '{"name":"a\\u0085b"}', 'name'],
    ['/topologies/blank', '{"name":""}', 'name'],
    ['/topologies/blank', '{"name":7}', 'name'],
    ['/topologies/blank', `{"name":"${'a'.repeat(65)}"}`, 'name'],
    ['/topologies/blank', '{"name":"a","mode":"unihost\\u0000"}', 'mode'],
    ['/topologies/blank', '{"name":"a","x\\u001b[2J":1}', 'x\u001b[2J'],
    ['/topologies/blank', '{"name":"a","x":1e999}', 'x'],
    ['/topologies', '{"name":"a","seed":99999999999999999999999}', 'seed'],
    ['/topologies', '{"name":"a","depth":1e999}', 'depth'],
    ['/topologies', '{"name":"a","depth":-1e999}', 'depth'],
    ['/config/users', '{"username":"a\\u0000","password":"password-number-one"}', 'username'],
    ['/config/users', '{"username":"admin\\u0000x","password":"password-number-one"}', 'username'],
    ['/config/users', '{"username":"a","password":"password-number-one","role":"admin\\u0000"}', 'role'],
    ['/config/users', '{"username":"a","password":"password-number-one","role":"Admin"}', 'role'],
    ['/config/users', '{"username":"a","password":"password-number-one","role":["admin"]}', 'role'],
    ['/auth/change-password', '{"old_password":"second-password-of-the-tests\\u0000x","new_password":"password\\u0000numberone"}', ''],
  ]) {
    const answer = await post(path, body);
    if (field === '') {
      assert.ok([401, 422].includes(answer.status), `${path}: a NUL hides nothing: ${answer.status} ${answer.body}`);
      continue;
    }
    assert.equal(answer.status, 422, `${path} ${body.slice(0, 60)}: ${answer.status} ${answer.body}`);
    assert.ok(answer.json.errors.some((e) => e.field === field), `${body.slice(0, 60)}: ${answer.body}`);
  }
});

test('types of bodies: JSON in any case and with parameters, nothing else', async () => {
  for (const [type, status] of [
    ['application/json', 422], ['Application/JSON', 422], ['application/json; charset=utf-8', 422], ['application/json ;charset=x', 422],
    ['text/json', 415], ['application/jsonp', 415], ['application/json, text/plain', 415], ['text/plain; application/json', 415], ['', 415], ['application', 415],
    ['application/x-www-form-urlencoded', 415], ['multipart/form-data; boundary=x', 415],
  ]) {
    const answer = await ask(head('POST /api/v1/auth/login HTTP/1.1', `Content-Type: ${type}`, 'Content-Length: 2'), '{}');
    assert.equal(answer.status, status, type);
    if (status === 415) isDetail(answer, 415, 'Unsupported media type: expected application/json', type);
  }
  isDetail(await ask(head('POST /api/v1/auth/login HTTP/1.1', 'Content-Length: 2'), '{}'), 415, 'Unsupported media type: expected application/json');
  assert.equal((await ask(head('POST /api/v1/auth/login HTTP/1.1'))).status, 422, 'no body, no check');
});

test('Expect: 100-continue is answered before the body, and a refusal instead of it', async () => {
  const r = new Raw(suite.port);
  r.send(head('POST /api/v1/auth/login HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 2', 'Expect: 100-continue'));
  await r.answers(1);
  assert.equal(parseAnswers(r.text)[0].status, 100);
  r.send('{}');
  assert.equal((await r.answers(2))[1].status, 422);
  r.cut();
  const big = new Raw(suite.port);
  big.send(head('POST /api/v1/auth/login HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 2000000', 'Expect: 100-continue'));
  assert.equal((await big.answers(1))[0].status, 413);
  big.cut();
});

test('a second server on the port does not start, and takes nothing from the first', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'decnet-second-'));
  try {
    for (const workers of ['1', '4']) {
      const second = spawnSync(join(build, 'src/main/decnet-api'), [], { env: { ...suite.env, DECNET_STATE_DIR: dir, HOME: dir, DECNET_API_WORKERS: workers, DECNET_BUS_TYPE: 'null' }, encoding: 'utf8', timeout: 20000 });
      assert.equal(second.signal, null, 'it ends by itself');
      assert.notEqual(second.status, 0);
      assert.match(second.stderr, new RegExp(`:${suite.port}: `), 'and says which address');
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  for (let i = 0; i < 20; i++) assert.equal((await admin.get('/config')).status, 200);
});

test('after all of this the server is as it was', async () => {
  await suite.ready();
  assert.equal((await admin.get('/config')).status, 200);
  assert.ok(!/AddressSanitizer|runtime error/.test(suite.log), suite.log.slice(-2000));
});
