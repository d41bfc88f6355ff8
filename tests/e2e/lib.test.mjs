// SPDX-License-Identifier: Apache-2.0
// The helpers themselves, against a small server that plays a stream.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { FrameParser } from './lib/frames.mjs';
import { Viewer } from './lib/sse.mjs';
import { eventually } from './lib/suite.mjs';

const text =
  'retry: 2000\n\n: keepalive\n\n' +
  'event: snapshot\nid: 4182\ndata: {"watermark":4182,"reason":"connect"}\n\n' +
  'event: mutation.applying\nid: 4190\ndata: {"topic":"topology.x.mutation.applying","note":"größer: 10"}\n\n' +
  ': keepalive\n\n' +
  'event: decky.traffic\ndata: {}\n\n' +
  'event: bye\ndata: {"reason":"shutdown"}\n\n';

function parsed(portions) {
  const parser = new FrameParser();
  for (const portion of portions) parser.push(portion);
  return { frames: parser.frames, comments: parser.comments, retry: parser.retry, pending: parser.pending };
}

test('frames are the same however the bytes are cut', () => {
  const bytes = Buffer.from(text);
  const whole = parsed([bytes]);

  assert.equal(whole.frames.length, 4);
  assert.deepEqual(whole.frames.map((f) => [f.event, f.id]), [
    ['snapshot', 4182],
    ['mutation.applying', 4190],
    ['decky.traffic', undefined],
    ['bye', undefined],
  ]);
  assert.equal(whole.frames[1].data.note, 'größer: 10');
  assert.equal(whole.retry, 2000);
  assert.deepEqual(whole.comments, ['keepalive', 'keepalive']);
  for (let i = 0; i <= bytes.length; i++)
    assert.deepEqual(parsed([bytes.subarray(0, i), bytes.subarray(i)]), whole);
  assert.deepEqual(parsed([...bytes].map((b) => Buffer.from([b]))), whole);
});

test('what the contract does not allow is not accepted', () => {
  for (const bad of [
    'event: a\r\ndata: {}\n\n',
    'data: {}\nevent: a\n\n',
    'event: a\ndata: {}\ndata: {}\n\n',
    'event: a\nid: 1\n\n',
    'data: {}\n\n',
    'event\ndata: {}\n\n',
    'event: a\ndata: {\n\n',
    'event: a\nother: 1\ndata: {}\n\n',
  ])
    assert.throws(() => parsed([Buffer.from(bad)]), undefined, JSON.stringify(bad));
});

async function player(t) {
  const server = http.createServer((request, response) => {
    if (request.url === '/api/v1/full') {
      response.writeHead(429, { 'Content-Type': 'application/json', 'Retry-After': '5' });
      response.end('{"detail":"SSE connection limit (5) reached"}');
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
    response.write(text);
    if (request.url === '/api/v1/ends') response.end();
    if (request.url === '/api/v1/bad') response.end('event: a\r\n\r\n\n\n');
  });

  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

test('a stream is recorded, and ends when the server ends it', async (t) => {
  const viewer = new Viewer(await player(t), '/ends');

  assert.equal(await viewer.opened, 200);
  assert.equal((await viewer.event('bye')).data.reason, 'shutdown');
  await viewer.end();
  assert.deepEqual(viewer.rows().map((f) => f.id), [4190]);
  assert.equal(viewer.lastId(), 4190);
  assert.equal(viewer.bytes, Buffer.byteLength(text));
  assert.equal(viewer.comments, 2);
  await assert.rejects(viewer.event('snapshot', { from: 1 }), /the stream ended/);
});

test('a stream can be cut at any byte', async (t) => {
  const base = await player(t);

  for (const cutAt of [1, 60, 100, 200]) {
    const viewer = new Viewer(base, '/', { cutAt });
    await viewer.end();
    assert.equal(viewer.bytes, cutAt);
  }
});

test('a stream that breaks the contract is not read on', async (t) => {
  const viewer = new Viewer(await player(t), '/bad');

  await viewer.end();
  assert.match(viewer.broken.message, /carriage return/);
  assert.equal(viewer.frames.length, 4);
});

test('an answer that is no stream has a status and no frames', async (t) => {
  const viewer = new Viewer(await player(t), '/full');

  assert.equal(await viewer.opened, 429);
  assert.equal(viewer.headers['retry-after'], '5');
  await viewer.end();
  assert.deepEqual(viewer.frames, []);
});

test('waiting has a deadline and says for what', async () => {
  await assert.rejects(eventually('the impossible', () => false, 30), /the impossible: not within 30 ms/);
});
