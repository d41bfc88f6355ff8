// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Frame } from '../src/fold/frame';
import { Stream, withQuery, type Refusal, type Source, type SourceEvent, type StreamStatus } from '../src/stream';
import { Clock, settle } from './helpers';

/** What a browser's EventSource would do, told by the test. */
class FakeSource implements Source {
  closed = false;
  private lastId = '';
  private listeners = new Map<string, ((ev: SourceEvent) => void)[]>();

  constructor(readonly url: string) {}

  addEventListener(name: string, fn: (ev: SourceEvent) => void): void {
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), fn]);
  }

  close(): void {
    this.closed = true;
  }

  /** A frame arrives; without an id the last one is repeated, as the standard says. */
  send(name: string, data: unknown, id?: number): void {
    if (id !== undefined) this.lastId = String(id);
    for (const fn of this.listeners.get(name) ?? []) fn({ data: JSON.stringify(data), lastEventId: this.lastId });
  }

  /** The connection breaks, or was refused. */
  fail(): void {
    for (const fn of this.listeners.get('error') ?? []) fn({});
  }
}

class World {
  clock = new Clock();
  sources: FakeSource[] = [];
  tickets = 0;
  refuseTicket: (Partial<Refusal> & object) | null = null;
  probed: Refusal | null | 'unreachable' = null;
  frames: Frame[] = [];
  snapshots: number[] = [];
  messages: unknown[] = [];
  states: string[] = [];
  status: StreamStatus | null = null;
  stream = new Stream(
    {
      open: (url) => {
        const source = new FakeSource(url);
        this.sources.push(source);
        return source;
      },
      ticket: async () => {
        if (this.refuseTicket) throw this.refuseTicket;
        return `t${++this.tickets}`;
      },
      probe: async () => {
        if (this.probed === 'unreachable') throw new Error('no');
        return this.probed;
      },
      later: this.clock.later,
    },
    {
      path: '/api/v1/identities/events',
      names: ['formed', 'updated'],
      snapshot: (data) => void this.snapshots.push(data.watermark),
      frame: (f) => void this.frames.push(f),
      message: (data) => void this.messages.push(data),
      status: (s) => {
        if (this.status?.state !== s.state) this.states.push(s.state);
        this.status = s;
      },
    },
  );

  get source(): FakeSource {
    return this.sources[this.sources.length - 1] as FakeSource;
  }

  async start(): Promise<void> {
    this.stream.start();
    await settle();
  }
}

const data = (n: number): unknown => ({ topic: 'identity.updated', type: 'updated', ts: n, payload: { n } });

test('connect, snapshot, frames', async () => {
  const w = new World();

  await w.start();
  assert.equal(w.source.url, '/api/v1/identities/events?ticket=t1');
  assert.equal(w.status?.state, 'connecting');
  w.source.send('snapshot', { watermark: 10, reason: 'connect' }, 10);
  assert.deepEqual([w.status?.state, w.status?.lastId, w.snapshots], ['live', 10, [10]]);
  w.source.send('updated', data(1), 12);
  w.source.send('formed', data(2), 15);
  assert.deepEqual(w.frames.map((f) => [f.event, f.id]), [['updated', 12], ['formed', 15]]);
  assert.equal(w.status?.lastId, 15);
});

test('a frame without an id does not move the watermark', async () => {
  const w = new World();

  await w.start();
  w.source.send('updated', data(0));
  w.source.send('snapshot', { watermark: 10, reason: 'connect' }, 10);
  w.source.send('updated', data(1));
  w.source.send('updated', data(2), 11);
  w.source.send('updated', data(3));
  assert.deepEqual(w.frames.map((f) => f.id), [null, null, 11, null]);
  assert.equal(w.status?.lastId, 11);
});

test('an id that was seen is not folded twice, unreadable data not at all', async () => {
  const w = new World();

  await w.start();
  w.source.send('snapshot', { watermark: 10, reason: 'connect' }, 10);
  w.source.send('updated', data(1), 9);
  w.source.send('updated', 'text', 11);
  assert.equal(w.frames.length, 0);
});

test('after a break it resumes with a new ticket and the last id', async () => {
  const w = new World();

  await w.start();
  const first = w.source;
  first.send('snapshot', { watermark: 10, reason: 'connect' }, 10);
  first.send('updated', data(1), 12);
  first.fail();
  assert.equal(first.closed, true);
  assert.deepEqual([w.status?.state, w.status?.reason, w.status?.retryMs], ['lost', 'connection lost', 1000]);
  await w.clock.pass(999);
  assert.equal(w.sources.length, 1);
  await w.clock.pass(1);
  assert.equal(w.source.url, '/api/v1/identities/events?ticket=t2&lastEventId=12');
  assert.equal(w.status?.state, 'resuming');
  w.source.send('updated', data(2), 13);
  w.source.send('resumed', { from: 12, to: 20, replayed: 1 }, 20);
  assert.deepEqual([w.status?.state, w.status?.lastId, w.status?.resumes, w.status?.snapshots], ['live', 20, 1, 0]);
  // What the old connection still says is not heard.
  first.send('updated', data(9), 99);
  assert.deepEqual(w.frames.map((f) => f.id), [12, 13]);
});

test('a snapshot instead of a resume starts again, also from a lower watermark', async () => {
  const w = new World();

  await w.start();
  w.source.send('snapshot', { watermark: 1000, reason: 'connect' }, 1000);
  w.source.fail();
  await w.clock.pass(1000);
  w.source.send('snapshot', { watermark: 7, reason: 'expired' }, 7);
  w.source.send('updated', data(1), 8);
  assert.deepEqual([w.snapshots, w.status?.snapshots, w.status?.lastId], [[1000, 7], 1, 8]);
  assert.deepEqual(w.frames.map((f) => f.id), [8]);
});

test('back-off doubles from one second to thirty, and starts anew once live', async () => {
  const w = new World();

  w.probed = 'unreachable';
  await w.start();
  for (const ms of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    w.source.fail();
    await settle();
    assert.deepEqual(w.clock.due, [ms]);
    assert.equal(w.status?.reason, 'server not reachable');
    await w.clock.pass(ms);
  }
  w.source.send('snapshot', { watermark: 1, reason: 'connect' }, 1);
  w.source.fail();
  assert.deepEqual(w.clock.due, [1000]);
});

test('bye: shutdown is waited out, every other reason is the end', async () => {
  for (const reason of ['token_expired', 'revoked', 'role_changed', 'topology_deleted']) {
    const w = new World();
    await w.start();
    w.source.send('snapshot', { watermark: 1, reason: 'connect' }, 1);
    w.source.send('bye', { reason });
    assert.deepEqual([w.status?.state, w.status?.reason, w.source.closed], ['ended', reason, true]);
    assert.deepEqual(w.clock.due, []);
  }
  const w = new World();
  await w.start();
  w.source.send('snapshot', { watermark: 1, reason: 'connect' }, 1);
  w.source.send('bye', { reason: 'shutdown' });
  assert.deepEqual([w.status?.state, w.status?.reason], ['lost', 'shutdown']);
  assert.deepEqual(w.clock.due, [1000]);
});

test("the server's own error frame closes and comes back", async () => {
  const w = new World();
  await w.start();
  w.source.send('snapshot', { watermark: 1, reason: 'connect' }, 1);
  w.source.send('error', { message: 'Stream interrupted' });
  assert.deepEqual([w.status?.state, w.status?.reason, w.source.closed], ['lost', 'Stream interrupted', true]);
  await w.clock.pass(1000);
  assert.equal(w.sources.length, 2);

  w.source.send('message', { type: 'error', message: 'Stream interrupted' });
  assert.equal(w.status?.state, 'lost');
});

test('a refused stream says why: too many, gone, signed out', async () => {
  for (const [status, state] of [[429, 'lost'], [503, 'lost'], [404, 'ended'], [401, 'ended'], [403, 'ended']] as const) {
    const w = new World();
    w.probed = { status, message: `because ${status}` };
    await w.start();
    w.source.fail();
    await settle();
    assert.deepEqual([w.status?.state, w.status?.reason], [state, `because ${status}`]);
    assert.equal(w.clock.due.length, state === 'lost' ? 1 : 0);
  }
});

test('a refused ticket: 401 is the end, no answer is not', async () => {
  const w = new World();
  w.refuseTicket = { status: 401, message: 'Could not validate credentials' };
  await w.start();
  assert.deepEqual([w.status?.state, w.status?.reason, w.sources.length], ['ended', 'Could not validate credentials', 0]);

  const v = new World();
  v.refuseTicket = { status: 0, message: 'The server cannot be reached' };
  await v.start();
  assert.equal(v.status?.state, 'lost');
  v.refuseTicket = null;
  await v.clock.pass(1000);
  assert.equal(v.sources.length, 1);
});

test('retryNow does not wait; close ends everything', async () => {
  const w = new World();
  await w.start();
  w.source.send('snapshot', { watermark: 1, reason: 'connect' }, 1);
  w.stream.retryNow();
  await settle();
  assert.equal(w.sources.length, 1);
  w.source.fail();
  w.stream.retryNow();
  await settle();
  assert.equal(w.sources.length, 2);
  assert.deepEqual(w.clock.due, []);

  const states = w.states.length;
  w.stream.close();
  assert.equal(w.source.closed, true);
  w.source.send('snapshot', { watermark: 2, reason: 'connect' }, 2);
  w.source.fail();
  await w.clock.pass(60_000);
  assert.equal(w.states.length, states);
  assert.equal(w.sources.length, 2);
});

test('closed while the ticket is on its way: no connection is made', async () => {
  const w = new World();
  w.stream.start();
  w.stream.close();
  await settle();
  assert.equal(w.sources.length, 0);
});

test('log batches carry log ids, numbers carry none', async () => {
  const w = new World();
  await w.start();
  w.source.send('snapshot', { watermark: 5, reason: 'connect' }, 5);
  w.source.send('message', { type: 'stats', data: {} });
  assert.equal(w.status?.lastId, 5);
  w.source.send('message', { type: 'logs', data: [] }, 9);
  assert.deepEqual([w.status?.lastId, w.messages.length], [9, 2]);
});

test('query values are escaped and empty ones left out', () => {
  assert.equal(withQuery('/stream', { search: '' }), '/stream');
  assert.equal(withQuery('/stream', { search: 'a b&c', limit: 5 }), '/stream?search=a%20b%26c&limit=5');
  assert.equal(withQuery('/events?topics=x', { ticket: 't', lastEventId: null }), '/events?topics=x&ticket=t');
});
