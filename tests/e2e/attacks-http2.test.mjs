// SPDX-License-Identifier: Apache-2.0
// Peers that misuse TLS and HTTP/2. Each is stopped, and one that behaves is served all the while.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Suite, eventually, freePort } from './lib/suite.mjs';
import * as h2 from './lib/tls.mjs';

const HEAD_MS = 10000; // what a peer has for its handshake or a head
const CALM = 11;
let dir, suite, api, good, pid, metrics;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'decnet-h2-'));
  const { cert, key } = h2.makeCertificate(dir, 'live');
  metrics = `127.0.0.1:${await freePort()}`;
  suite = await Suite.start({ DECNET_TLS_CERT: cert, DECNET_TLS_KEY: key, DECNET_METRICS_LISTEN: metrics });
  suite.cli('demo');
  api = await Api.admin(suite);
  pid = suite.pid('decnet-api');
  good = new h2.Session(suite.port, cert);
});

after(async () => {
  await good?.close();
  await suite?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Resident memory; nothing under AddressSanitizer, which keeps what was freed and is known by its terabytes of address space. */
function memoryKiB() {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const number = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]);
  return number('VmSize') > 2 ** 30 ? 0 : number('VmRSS');
}

afterEach(async () => {
  if (good.client.destroyed) good = new h2.Session(suite.port, suite.env.DECNET_TLS_CERT);
  assert.equal((await good.request('GET', '/healthz')).status, 200);
  assert.equal(suite.pid('decnet-api'), pid, 'it is still the same process');
});

const u32 = (n) => {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n);
  return b;
};

/** It must end with a GOAWAY of one of these codes. */
async function isSentAway(session, ...codes) {
  await session.closed;
  const bye = session.has(h2.GOAWAY);
  assert.ok(bye, `no GOAWAY; frames ${session.frames.map((f) => f.type)}`);
  assert.ok(codes.includes(bye.payload.readUInt32BE(4)), `code ${bye.payload.readUInt32BE(4)}`);
}

test('rapid reset: ask and reset, again and again', async () => {
  const s = await h2.RawSession.open(suite.port);
  const path = '/api/v1/topologies';
  const fields = [['authorization', `Bearer ${api.token}`]];
  for (let id = 1; id < 4000 && !s.socket.destroyed; id += 200) {
    const burst = [];
    for (let k = id; k < id + 200; k += 2) burst.push(h2.get(k, path, fields), h2.frame(h2.RST_STREAM, 0, k, u32(8)));
    await s.send(...burst);
  }
  await isSentAway(s, CALM, 2, 0);
});

test('more streams at once than allowed are refused, not queued', async () => {
  const s = await h2.RawSession.open(suite.port);
  const burst = [];
  // Bodies that never come: each stays open.
  for (let id = 1; id < 2 * 300; id += 2) burst.push(h2.get(id, '/healthz', [], 4));
  await s.send(...burst);
  await eventually('refusals', () => s.has(h2.RST_STREAM) || s.has(h2.GOAWAY));
  const codes = s.frames.filter((f) => f.type === h2.RST_STREAM).map((f) => f.payload.readUInt32BE(0));
  assert.ok(codes.every((c) => c === 7), String(codes));
  await s.close();
});

test('CONTINUATION without end', async () => {
  const s = await h2.RawSession.open(suite.port);
  await s.send(h2.get(1, '/healthz', [], 1));
  for (let i = 0; i < 3000 && !s.socket.destroyed; i++) await s.send(h2.frame(h2.CONTINUATION, 0, 1, h2.field(`x-${i}`, 'y'.repeat(1000))));
  await s.closed;
});

test('CONTINUATION of nothing, without end', async () => {
  const s = await h2.RawSession.open(suite.port);
  await s.send(h2.get(1, '/healthz', [], 1));
  for (let i = 0; i < 3000 && !s.socket.destroyed; i++) await s.send(h2.frame(h2.CONTINUATION, 0, 1));
  await s.closed;
});

test('PING and SETTINGS from a peer that reads no answer', async () => {
  for (const one of [h2.frame(h2.PING, 0, 0, Buffer.alloc(8)), h2.frame(h2.SETTINGS, 0, 0)]) {
    const s = await h2.RawSession.open(suite.port);
    s.socket.pause();
    const many = Buffer.concat(Array.from({ length: 4096 }, () => one));
    let stopped = false;
    s.closed.then(() => (stopped = true));
    // Until the server neither takes nor answers any more; at most 64 MiB.
    for (let i = 0; i < 64 * 20 && !stopped; i++) {
      const gone = await Promise.race([s.send(many).then(() => false), s.closed.then(() => true), new Promise((ok) => setTimeout(ok, 3000, true))]);
      if (gone) break;
    }
    await s.close();
  }
  assert.ok(memoryKiB() < 200 * 1024, `${memoryKiB()} KiB`);
});

test('bodies that are announced, begun and never ended stay within a ceiling', async () => {
  const s = await h2.RawSession.open(suite.port);
  const before = memoryKiB();
  const chunk = Buffer.alloc(16000);
  const opening = [];
  for (let k = 0; k < 90; k++) opening.push(h2.get(2 * k + 1, '/api/v1/topologies/blank', [], 4));
  await s.send(...opening);
  for (let i = 0; i < 60 && !s.socket.destroyed; i++) {
    const burst = [];
    for (let k = 0; k < 90; k++) burst.push(h2.frame(h2.DATA, 0, 2 * k + 1, chunk));
    await Promise.race([s.send(...burst), s.closed]);
  }
  await s.close();
  assert.ok(memoryKiB() - before < 40 * 1024, `${memoryKiB() - before} KiB more`);
});

test('answers that nobody takes stay within a ceiling', async () => {
  const before = memoryKiB();
  // SETTINGS_INITIAL_WINDOW_SIZE 0: not one byte of a body may be sent.
  const s = await h2.RawSession.open(suite.port, Buffer.concat([Buffer.from([0, 4]), u32(0)]));
  const burst = [];
  for (let k = 0; k < 100; k++) burst.push(h2.get(2 * k + 1, '/openapi.json'));
  await s.send(...burst);
  await eventually('heads of answers', () => s.frames.filter((f) => f.type === h2.HEADERS).length > 10);
  assert.ok(memoryKiB() - before < 60 * 1024, `${memoryKiB() - before} KiB more`);
  await s.close();
});

test('heads that are no HTTP', async () => {
  const rows = [
    [[['Host', 'x']], 'an upper-case name'],
    [[['connection', 'keep-alive']], 'a field of HTTP/1.1'],
    [[['transfer-encoding', 'chunked']], 'a framing of HTTP/1.1'],
    [[['x-a', 'b\r\nc: d']], 'a line break'],
    [[['content-length', '5']], 'a length without a body'],
    [[[':path', '/again']], 'a pseudo field twice'],
  ];
  for (const [fields, what] of rows) {
    const s = await h2.RawSession.open(suite.port);
    await s.send(h2.get(1, '/healthz', fields));
    const answer = await eventually(what, () => s.has(h2.RST_STREAM) ?? s.has(h2.GOAWAY) ?? s.has(h2.HEADERS));
    assert.notEqual(answer.type, h2.HEADERS, what);
    await s.close();
  }
  for (const fields of [[['host', 'other']], [['authorization', 'a'], ['authorization', 'b']]]) {
    const s = await h2.RawSession.open(suite.port);
    await s.send(h2.get(1, '/healthz', fields));
    const data = await eventually('400', () => s.has(h2.DATA));
    assert.equal(data.payload.toString(), '{"detail":"Malformed HTTP request"}');
    await s.close();
  }
});

test('frames that are none: the session ends with its reason', async () => {
  const rows = [
    [h2.frame(h2.DATA, 0, 0, Buffer.from('x')), 'DATA on no stream'],
    [h2.frame(h2.SETTINGS, 0, 0, Buffer.alloc(5)), 'SETTINGS of five bytes'],
    [h2.frame(h2.WINDOW_UPDATE, 0, 0, u32(0)), 'a window of nothing'],
    [h2.frame(h2.HEADERS, 5, 2, Buffer.from([0x82])), 'an even stream'],
    [h2.frame(h2.HEADERS, 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])), 'no HPACK'],
    [Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]), Buffer.alloc(20000)]), 'a frame of 16 MiB'],
  ];
  for (const [bytes, what] of rows) {
    const s = await h2.RawSession.open(suite.port);
    await s.send(bytes);
    await s.closed;
    assert.ok(s.has(h2.GOAWAY), what);
    assert.notEqual(s.has(h2.GOAWAY).payload.readUInt32BE(4), 0, what);
  }
});

test('a viewer that opens no window is cut off, and only that stream', { skip: process.env.DECNET_SOAK ? false : 'takes 30 s: make soak' }, async () => {
  const s = await h2.RawSession.open(suite.port, Buffer.concat([Buffer.from([0, 4]), u32(0)]));
  await s.send(h2.get(1, '/api/v1/identities/events', [['authorization', `Bearer ${api.token}`]]));
  await eventually('the head', () => s.has(h2.HEADERS));
  const reset = await eventually('the end', () => s.has(h2.RST_STREAM), 60000);
  assert.equal(reset.stream, 1);
  assert.equal(s.has(h2.DATA), undefined);
  await s.send(h2.frame(h2.PING, 0, 0, Buffer.alloc(8)));
  await eventually('an answer on the connection', () => s.has(h2.PING));
  await s.close();
});

test('half a handshake, half a preface, half a head: closed at the deadline', async () => {
  const began = Date.now();
  const hello = Buffer.from([22, 3, 1, 2, 0, 1, 0]);
  const bare = net.connect(suite.port, '127.0.0.1', () => bare.write(hello));
  const silent = net.connect(suite.port, '127.0.0.1');
  const session = await h2.RawSession.open(suite.port);
  await session.send(h2.get(1, '/healthz', [], 1)); // no END_HEADERS
  const ends = [bare, silent].map((s) => new Promise((ok) => s.on('error', () => {}).once('close', ok)));
  await Promise.all([...ends, eventually('an answer or an end', () => session.has(h2.HEADERS) || session.has(h2.GOAWAY), 3 * HEAD_MS)]);
  assert.ok(Date.now() - began < 3 * HEAD_MS);
  await session.close();
});

test('all of it is counted', async () => {
  const page = await (await fetch(`http://${metrics}/metrics`)).text();
  for (const limit of ['h2_streams', 'h2_session', 'tls_handshake', 'body', 'request_line', 'headers']) {
    const n = Number(new RegExp(`decnet_limit_hits_total\\{limit="${limit}"\\} (\\d+)`).exec(page)?.[1]);
    assert.ok(n >= (/^h2|^tls/.test(limit) ? 1 : 0), `${limit}: ${n}`);
  }
});
