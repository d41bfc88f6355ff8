// SPDX-License-Identifier: Apache-2.0
// A thousand viewers that never read, among others that do: memory is bounded, who comes back in time misses nothing, the rest is closed.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { FrameParser } from './lib/frames.mjs';
import { Metrics } from './lib/metrics.mjs';
import { rssMiB, sanitized } from './lib/proc.mjs';
import { Suite, eventually, freePort } from './lib/suite.mjs';
import { Viewer } from './lib/sse.mjs';

const STALLED = 1000;
const LATE = 10;
const READERS = 2;
// More than a ring of 8 MiB holds, so that who comes back is caught up from the journal.
const EDITS = 320;
const BODY_BYTES = 40000;
// What may wait in the kernel for one viewer: SO_SNDBUF is 32 KiB, which Linux doubles, and the last write may pass it by as much again.
const WAITING_MAX = 131072;
let suite, admin, metrics, topology, decky;

before(async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  suite = await Suite.start({ DECNET_SSE_MAX_PER_USER: '0', DECNET_API_WORKERS: '2', DECNET_METRICS_LISTEN: listen, DECNET_LOG_LEVEL: 'warning' });
  metrics = new Metrics(listen);
  admin = await Api.admin(suite);
  topology = await admin.expect(201, 'POST', '/topologies/blank', { name: 'stalled' });
  decky = await admin.expect(201, 'POST', `/topologies/${topology.id}/deckies`, { name: 'page', services: ['http'] });
});

after(async () => {
  await suite?.stop();
});

/** A viewer that reads no byte until it is told to. */
class Stalled {
  constructor() {
    this.socket = new net.Socket();
    this.socket.pause();
    this.closed = false;
    this.socket.on('error', () => {});
    this.socket.on('close', () => (this.closed = true));
    this.socket.connect(suite.port, '127.0.0.1');
    this.socket.write(`GET /api/v1/topologies/${topology.id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin.token}\r\n\r\n`);
  }

  /** Reads from here on: the frames so far are in `frames`. */
  read() {
    const parser = new FrameParser();
    let bytes = Buffer.alloc(0);
    let head = true;
    this.frames = parser.frames;
    this.socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (head) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end < 0) return;
        this.status = Number(bytes.subarray(9, 12));
        bytes = bytes.subarray(end + 4);
        head = false;
      }
      for (;;) {
        const line = bytes.indexOf('\r\n');
        if (line < 0) return;
        const size = parseInt(bytes.subarray(0, line).toString('latin1'), 16);
        if (bytes.length < line + 2 + size + 2) return;
        parser.push(bytes.subarray(line + 2, line + 2 + size));
        bytes = bytes.subarray(line + 2 + size + 2);
      }
    });
    this.socket.resume();
  }
}

const rows = (frames) => frames.filter((f) => f.event === 'changed');

/** The largest number of bytes that wait to be sent on a connection of the gateway. */
function waiting() {
  const port = suite.port.toString(16).toUpperCase().padStart(4, '0');
  const queues = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((f) => f[1]?.endsWith(`:${port}`) && f[3] === '01')
    .map((f) => parseInt(f[4].split(':')[0], 16));
  return { n: queues.length, max: Math.max(...queues), full: queues.filter((n) => n > 0).length };
}

test('viewers that never read cost a bounded amount, and nobody else anything', async (t) => {
  const pid = suite.pid('decnet-api');
  const readers = Array.from({ length: READERS }, () => new Viewer(suite.url, `/topologies/${topology.id}/events`, { token: admin.token }));
  for (const v of readers) await v.event('snapshot');
  const stalled = Array.from({ length: STALLED }, () => new Stalled());
  const open = () => metrics.sum('decnet_sse_streams');
  await eventually('all are open', async () => (await open()) === STALLED + READERS, 30000);
  await eventually('all have their snapshot', async () => (await metrics.sum('decnet_sse_frames_total')) >= STALLED + READERS);
  const before = rssMiB(pid);
  let most = before;
  let queued = 0;
  for (let i = 0; i < EDITS; i++) {
    const service_config = { http: { custom_body: String(i).padStart(8, '0').repeat(BODY_BYTES / 8) } };
    await admin.expect(200, 'PATCH', `/topologies/${topology.id}/deckies/${decky.uuid}`, { decky_config: { service_config } });
    most = Math.max(most, rssMiB(pid));
    if (i % 16 === 0) queued = Math.max(queued, waiting().max);
  }
  // Those who read have had each row once, in order.
  for (const v of readers) {
    await v.wait('the last row', () => rows(v.frames).length === EDITS);
    assert.deepEqual(rows(v.frames).map((f) => f.id), [...new Set(rows(v.frames).map((f) => f.id))].sort((a, b) => a - b));
    assert.equal(v.ended, false);
  }
  const now = waiting();
  assert.ok(now.full >= STALLED - LATE, `${now.full} connections have bytes waiting`);
  assert.ok(Math.max(queued, now.max) <= WAITING_MAX, `${now.max} bytes wait for one viewer`);
  // Some come back before they are given up: the ring has long gone on.
  assert.ok((await metrics.sum('decnet_limit_hits_total', { limit: 'ring' })) > 0);
  const late = stalled.splice(0, LATE);
  for (const v of late) v.read();
  const wanted = rows(readers[0].frames).map((f) => f.id);
  for (const v of late) {
    await eventually('a late reader has everything', () => (v.closed ? assert.fail('it was closed') : rows(v.frames).length >= EDITS), 30000);
    assert.equal(v.status, 200);
    assert.deepEqual(rows(v.frames).map((f) => f.id), wanted, 'each row once, in order');
    assert.equal(v.frames.filter((f) => f.event === 'snapshot').length, 1, 'the journal had them all');
  }
  most = Math.max(most, rssMiB(pid));
  t.diagnostic(`${Math.round(before)} MiB before, at most ${Math.round(most)}; ${now.max} bytes wait for one viewer at most`);
  // Two rings of 8 MiB, chunks in flight, and what the allocator keeps.
  if (!sanitized(pid)) assert.ok(most - before < 128, `${Math.round(most - before)} MiB more for ${STALLED} viewers`);
  // The others take no byte for 30 s.
  await eventually('the others are closed', async () => (await metrics.sum('decnet_sse_closed_total', { reason: 'stalled' })) === STALLED - LATE, 45000);
  assert.equal(await open(), READERS + LATE);
  for (const v of [...late.map((l) => l.socket), ...stalled.map((l) => l.socket)]) v.destroy();
  await eventually('their slots are free', async () => (await open()) === READERS);
  assert.equal(suite.pid('decnet-api'), pid, 'the same process');
  for (const v of readers) v.cut();
});
