// SPDX-License-Identifier: Apache-2.0
// The suite over TLS, asked by programs that know nothing of it: curl, openssl, nghttp, h2load, node's HTTP/2, Chromium.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { Api } from './lib/api.mjs';
import { launch, openPage, skipWithoutBrowser } from './lib/browser.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, build, decnet, eventually, freePort } from './lib/suite.mjs';
import { Session, fingerprint, makeCertificate, run } from './lib/tls.mjs';

const CAP = 7;
let dir, live, suite, api, topology;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'decnet-tls-'));
  live = makeCertificate(dir, 'live', 'first');
  suite = await Suite.start({ DECNET_TLS_CERT: live.cert, DECNET_TLS_KEY: live.key, DECNET_SSE_MAX_PER_USER: String(CAP) });
  suite.cli('demo');
  api = await Api.admin(suite);
  topology = await api.demoTopology();
});

after(async () => {
  await suite?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** curl that checks the certificate; {code, version, status, text}. */
async function curl(version, path, ...args) {
  const said = await run('curl', ['-s', '-m', '15', version, '--cacert', live.cert, '-w', '\n%{http_version} %{http_code}', ...args, suite.url + path]);
  const at = said.stdout.lastIndexOf('\n');
  const [protocol, status] = said.stdout.slice(at + 1).split(' ');
  return { code: said.code, version: protocol, status: Number(status), text: said.stdout.slice(0, at) };
}

const bearer = () => ['-H', `Authorization: Bearer ${api.token}`];

for (const [option, version] of [['--http1.1', '1.1'], ['--http2', '2']]) {
  test(`curl ${option}: log in, read, write, head, errors`, async () => {
    const json = ['-H', 'Content-Type: application/json'];
    const login = await curl(option, '/api/v1/auth/login', ...json, '-d', '{"username":"admin","password":"second-password-of-the-tests"}');
    assert.deepEqual([login.code, login.version, login.status], [0, version, 200]);
    assert.ok(JSON.parse(login.text).access_token);

    const list = await curl(option, '/api/v1/topologies', ...bearer());
    assert.equal(list.status, 200);
    assert.ok(JSON.parse(list.text).data.some((t) => t.name === 'demo'));

    const made = await curl(option, '/api/v1/topologies/blank', ...json, ...bearer(), '-d', `{"name":"over ${version}"}`);
    assert.equal(made.status, 201, made.text);

    const head = await curl(option, '/healthz', '-I');
    assert.equal(head.status, 200);
    assert.match(head.text, /content-length: [1-9]/i);

    const unknown = await curl(option, '/api/v1/nothing-here', ...bearer());
    assert.deepEqual([unknown.status, JSON.parse(unknown.text)], [404, { detail: 'Not Found' }]);
    assert.equal((await curl(option, '/api/v1/topologies')).status, 401);

    const big = join(dir, 'big');
    writeFileSync(big, `{"name":"${'x'.repeat(2 << 20)}"}`);
    const tooBig = await curl(option, '/api/v1/topologies/blank', ...json, ...bearer(), '-H', 'Expect:', '--data-binary', `@${big}`);
    assert.equal(tooBig.status, 413);
    assert.ok(JSON.parse(tooBig.text).detail);

    const long = await curl(option, `/${'x'.repeat(9000)}`);
    assert.deepEqual([long.status, JSON.parse(long.text)], [414, { detail: 'URI too long' }]);
    const fields = await curl(option, '/healthz', ...Array.from({ length: 8 }, (_, i) => ['-H', `X-Pad-${i}: ${'y'.repeat(5000)}`]).flat());
    assert.deepEqual([fields.status, JSON.parse(fields.text)], [431, { detail: 'Request header fields too large' }]);
    assert.equal((await curl(option, '/healthz')).status, 200);
  });
}

/** openssl s_client with a request; everything that it printed. */
function sClient(args, input = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n') {
  return new Promise((good) => {
    const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${suite.port}`, '-CAfile', live.cert, ...args], { timeout: 15000 });
    let text = '';
    for (const out of [child.stdout, child.stderr]) out.on('data', (chunk) => (text += chunk));
    child.stdin.on('error', () => {});
    child.stdin.write(input);
    child.once('close', () => good(text));
  });
}

test('openssl: TLS 1.2 and 1.3 and nothing older, no renegotiation, ALPN', async () => {
  for (const version of ['-tls1_2', '-tls1_3']) {
    const text = await sClient([version, '-alpn', 'http/1.1']);
    assert.match(text, /Verify return code: 0 \(ok\)/);
    assert.match(text, /ALPN protocol: http\/1\.1/);
    assert.match(text, /HTTP\/1\.1 200 OK/);
    assert.match(text, /Compression: NONE/);
  }
  // Security level 0, or the client itself would not offer it.
  assert.match(await sClient(['-tls1_1', '-cipher', 'DEFAULT:@SECLEVEL=0']), /alert protocol version/);
  assert.match(await sClient(['-tls1_2', '-cipher', 'AES128-SHA']), /alert handshake failure/);
  assert.match(await sClient(['-alpn', 'spdy/3']), /alert no application protocol/);
  assert.match(await sClient(['-alpn', 'h2,http/1.1'], ''.padEnd(40, 'x')), /ALPN protocol: h2/);
  // "R" at the start of a line asks for it.
  const again = await sClient(['-tls1_2'], 'R\n');
  assert.match(again, /RENEGOTIATING/);
  assert.match(again, /no renegotiation/);
});

test('nghttp and h2load', async () => {
  const one = await run('nghttp', ['-nv', `${suite.url}/healthz`, `${suite.url}/readyz`]);
  assert.equal(one.code, 0);
  assert.equal(one.stdout.match(/:status: 200/g)?.length, 2, one.stdout);
  assert.doesNotMatch(one.stdout, /RST_STREAM|_ERROR\(0x0[^0]/);
  const many = await run('h2load', ['-n', '2000', '-c', '4', '-m', '80', `${suite.url}/healthz`]);
  assert.match(many.stdout, /2000 succeeded, 0 failed, 0 errored/, many.stdout);
});

test('more streams than a browser has connections, on one connection; the cap, and good-bye', async () => {
  const user = await api.user('many', 'viewer');
  const session = new Session(suite.port, live.cert);
  const streams = Array.from({ length: CAP }, () => session.events(`/topologies/${topology.id}/events`, user.token));
  for (const s of streams) {
    assert.equal(await s.opened, 200);
    assert.equal(s.headers['content-type'], 'text/event-stream; charset=utf-8');
    await s.event('snapshot');
  }

  const over = session.events('/identities/events', user.token);
  assert.equal(await over.opened, 429);
  assert.equal(over.headers['retry-after'], '5');
  await over.ended;
  assert.deepEqual(JSON.parse(over.text), { detail: `SSE connection limit (${CAP}) reached` });

  // A slot is free when its stream has been reset, with the connection still open.
  streams.pop().req.close();
  const again = await eventually('the slot is free', async () => {
    const s = session.events('/identities/events', user.token);
    return (await s.opened) === 200 && s;
  });
  await again.event('snapshot');

  const { text } = await session.request('POST', `/api/v1/topologies/${topology.id}/mutations`, {
    token: api.token,
    body: JSON.stringify({ op: 'add_decky', payload: { name: 'h2-01', lan: 'inner', services: ['http'] } }),
  });
  const { mutation_id: id } = JSON.parse(text);
  for (const s of streams) assert.equal((await s.event('mutation.applied')).data.payload.mutation_id, id);

  assert.equal((await session.request('POST', '/api/v1/auth/logout', { token: user.token })).status, 200);
  for (const s of [...streams, again]) {
    await s.event('bye');
    assert.equal(await s.ended, 0);
  }
  assert.equal((await session.request('GET', '/healthz')).status, 200);
  await session.close();
});

test('a stream over HTTP/1.1 inside TLS', async () => {
  const v = new Viewer(suite.url, `/topologies/${topology.id}/events`, { token: api.token });
  assert.equal(await v.opened, 200);
  await v.event('snapshot');
  v.cut();
});

test('large answers to readers that stop and go on arrive whole', async () => {
  const page = (await curl('--http1.1', '/openapi.json')).text;
  const times = 60;

  // HTTP/1.1: many requests at once, nothing read until the server cannot write any more.
  const socket = tls.connect({ port: suite.port, host: '127.0.0.1', rejectUnauthorized: false });
  await new Promise((good, bad) => socket.once('secureConnect', good).once('error', bad));
  const one = 'GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n';
  socket.write(one.repeat(times - 1) + one.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
  await new Promise((good) => setTimeout(good, 300));
  const parts = [];
  for await (const chunk of socket) {
    parts.push(chunk);
    if (parts.length % 50 === 0) await new Promise((good) => setTimeout(good, 5));
  }
  const answers = Buffer.concat(parts).toString().split(/HTTP\/1\.1 200 OK\r\n/).slice(1);
  assert.equal(answers.length, times);
  for (const a of answers) assert.equal(a.slice(a.indexOf('\r\n\r\n') + 4), page);

  // HTTP/2: as many streams, each read as slowly.
  const session = new Session(suite.port, live.cert);
  const texts = await Promise.all(
    Array.from({ length: times }, async () => {
      const req = session.client.request({ ':path': '/openapi.json' });
      let text = '';
      req.setEncoding('utf8');
      for await (const chunk of req) {
        text += chunk;
        await new Promise((good) => setImmediate(good));
      }
      return text;
    }),
  );
  for (const text of texts) assert.equal(text, page);
  await session.close();
});

const certificateOf = () =>
  new Promise((good, bad) => {
    const s = tls.connect({ port: suite.port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      good(s.getPeerCertificate().fingerprint256);
      s.destroy();
    });
    s.once('error', bad);
  });

test('SIGHUP: a renewed certificate is taken up, a bad one is not, streams go on', async () => {
  const session = new Session(suite.port, live.cert);
  const stream = session.events(`/topologies/${topology.id}/events`, api.token);
  await stream.event('snapshot');
  const first = fingerprint(live.cert);
  assert.equal(await certificateOf(), first);

  const next = makeCertificate(dir, 'next', 'second');
  copyFileSync(next.cert, live.cert);
  copyFileSync(next.key, live.key);
  suite.process.kill('SIGHUP');
  await eventually('the new certificate', async () => (await certificateOf()) === fingerprint(next.cert));
  assert.equal((await session.request('GET', '/healthz')).status, 200);

  copyFileSync(makeCertificate(dir, 'other').key, live.key);
  const said = suite.log.length;
  suite.process.kill('SIGHUP');
  await eventually('the refusal', () => /api\.reload.*live\.key/.test(suite.log.slice(said)));
  assert.equal(await certificateOf(), fingerprint(next.cert));
  copyFileSync(next.key, live.key);

  await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, {
    op: 'add_decky',
    payload: { name: 'reload-01', lan: 'inner', services: ['http'] },
  });
  await stream.event('mutation.applied');
  await session.close();
});

test('the command line', async () => {
  const env = { ...suite.env, DECNET_URL: suite.url };
  const list = ['topology', 'list'];
  const trusted = await run(decnet, list, { env: { ...env, DECNET_TOKEN: api.token } });
  assert.equal(trusted.code, 0, trusted.stderr);
  delete env.DECNET_TLS_CERT;
  delete env.DECNET_TLS_KEY;
  assert.equal((await run(decnet, list, { env: { ...env, SSL_CERT_FILE: live.cert, DECNET_TOKEN: api.token } })).code, 0);
  const untrusted = await run(decnet, list, { env: { ...env, DECNET_TOKEN: api.token } });
  assert.equal(untrusted.code, 6);
  assert.match(untrusted.stderr, /certificate/);
});

test('without TLS the port says what it wants', async () => {
  const said = await run('curl', ['-s', '-m', '5', '-w', ' %{http_code}', suite.url.replace('https', 'http') + '/healthz']);
  assert.equal(said.stdout, '{"detail":"This port speaks HTTPS"} 400');
  const text = await new Promise((good) => {
    const s = net.connect(suite.port, '127.0.0.1', () => s.end('hello, is anybody there?\n'));
    let all = '';
    s.on('data', (chunk) => (all += chunk));
    s.on('close', () => good(all));
  });
  assert.match(text, /^HTTP\/1\.1 400 /);
});

test('what cannot be served stops the start with a clear line', async () => {
  const protectedKey = join(dir, 'protected.key');
  await run('openssl', ['ec', '-in', live.key, '-aes256', '-passout', 'pass:secret', '-out', protectedKey]);
  writeFileSync(join(dir, 'no.pem'), 'this is no certificate\n');
  const rows = [
    [{ DECNET_TLS_CERT: live.cert }, /DECNET_TLS_CERT.*DECNET_TLS_KEY/],
    [{ DECNET_TLS_CERT: join(dir, 'absent.pem'), DECNET_TLS_KEY: live.key }, /DECNET_TLS.*absent\.pem: No such file/],
    [{ DECNET_TLS_CERT: join(dir, 'no.pem'), DECNET_TLS_KEY: live.key }, /DECNET_TLS.*no\.pem: /],
    [{ DECNET_TLS_CERT: live.cert, DECNET_TLS_KEY: join(dir, 'other.key') }, /DECNET_TLS.*other\.key: key values mismatch/],
    [{ DECNET_TLS_CERT: live.cert, DECNET_TLS_KEY: protectedKey }, /DECNET_TLS.*protected\.key: /],
  ];
  for (const [files, said] of rows) {
    const env = { ...suite.env, DECNET_STATE_DIR: join(dir, 'state'), DECNET_API_PORT: String(await freePort()), DECNET_TLS_CERT: undefined, DECNET_TLS_KEY: undefined, ...files };
    const r = await run(join(build, 'src/main/decnet-api'), [], { env });
    assert.equal(r.code, 2, `${said}: ${r.stderr}`);
    assert.match(r.stderr, said);
  }
});

test('Chromium: six EventSources and a request share one connection', { skip: skipWithoutBrowser }, async () => {
  const viewer = await api.user('browser', 'viewer');
  const browser = await launch();
  try {
    const { page } = await openPage(browser, suite.url, { ignoreHTTPSErrors: true });
    await page.goto(`${suite.url}/healthz`);
    const seen = await page.evaluate(
      async ({ token, id }) => {
        const ticket = async () =>
          (await (await fetch('/api/v1/auth/sse-ticket', { method: 'POST', headers: { Authorization: `Bearer ${token}` } })).json()).ticket;
        const first = async () => {
          const source = new EventSource(`/api/v1/topologies/${id}/events?ticket=${await ticket()}`);
          return new Promise((good) => source.addEventListener('snapshot', (e) => good(JSON.parse(e.data).topic)));
        };
        const topics = await Promise.all(Array.from({ length: 6 }, first));
        const status = (await fetch('/healthz')).status;
        const protocols = performance.getEntriesByType('resource').map((r) => r.nextHopProtocol);
        return { topics, status, protocols };
      },
      { token: viewer.token, id: topology.id },
    );
    assert.equal(seen.topics.length, 6);
    assert.equal(seen.status, 200);
    assert.deepEqual([...new Set(seen.protocols)], ['h2']);
  } finally {
    await browser.close();
  }
});

test('stopping the suite: bye on every stream of HTTP/2, and a GOAWAY', async () => {
  const session = new Session(suite.port, live.cert);
  const goaway = new Promise((good) => session.client.once('goaway', good));
  const streams = [session.events('/identities/events', api.token), session.events(`/topologies/${topology.id}/events`, api.token)];
  for (const s of streams) await s.event('snapshot');
  suite.process.kill('SIGTERM');
  for (const s of streams) {
    await s.event('bye');
    assert.equal(await s.ended, 0);
  }
  assert.equal(await goaway, 0);
  await session.closed;
  assert.deepEqual(await suite.exited, { code: 0, signal: null });
});
