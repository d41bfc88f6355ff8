// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Follower } from '../src/fold/follow';
import type { Frame } from '../src/fold/frame';
import { Clock, frame, settle } from './helpers';

/** Folds numbers: the state is the list of ids, as a read or frames gave them. */
class World {
  clock = new Clock();
  state: number[] = [];
  mark = 0;
  reads: { floor: number; answer(mark: number, value: number[]): void; fail(): void }[] = [];
  failures = 0;
  follower = new Follower<number[]>({
    read: (floor) =>
      new Promise((resolve, reject) => {
        this.reads.push({ floor, answer: (mark, value) => resolve({ mark, value }), fail: () => reject(new Error('no')) });
      }),
    reset: (value, mark) => {
      this.state = [...value];
      this.mark = mark;
    },
    apply: (f: Frame) => {
      if (f.id === null || f.id <= this.mark) return false;
      this.mark = f.id;
      this.state.push(f.id);
      return f.data.payload['refetch'] === true;
    },
    changed: () => {},
    failed: () => void this.failures++,
    later: this.clock.later,
  });

  send(...ids: number[]): void {
    for (const id of ids) this.follower.frame(frame(id, 'identity.updated', {}));
  }

  async answer(mark: number, value: number[]): Promise<void> {
    const read = this.reads[this.reads.length - 1];
    read?.answer(mark, value);
    await settle();
  }
}

test('frames that come before the answer are applied after it, those in it are not', async () => {
  const w = new World();

  w.follower.snapshot(10);
  w.send(11, 12, 13);
  await w.clock.pass(0);
  w.send(14);
  assert.deepEqual(w.state, []);
  await w.answer(12, [1, 11, 12]);
  assert.deepEqual(w.state, [1, 11, 12, 13, 14]);
  w.send(15);
  assert.deepEqual(w.state, [1, 11, 12, 13, 14, 15]);
  assert.equal(w.reads.length, 1);
});

test('a frame that asks for it leads to one read, and nothing is lost meanwhile', async () => {
  const w = new World();

  w.follower.snapshot(10);
  await w.clock.pass(0);
  await w.answer(10, [10]);
  w.follower.frame(frame(11, 'identity.updated', { refetch: true }));
  w.follower.frame(frame(12, 'identity.updated', { refetch: true }));
  w.send(13);
  await w.clock.pass(500);
  assert.equal(w.reads.length, 2);
  w.send(14);
  await w.answer(13, [10, 11, 12, 13]);
  assert.deepEqual(w.state, [10, 11, 12, 13, 14]);
  await w.clock.pass(60_000);
  assert.equal(w.reads.length, 2);
});

test('a wish during a read leads to another read', async () => {
  const w = new World();

  w.follower.snapshot(10);
  await w.clock.pass(0);
  await w.answer(10, []);
  w.follower.refetch();
  await w.clock.pass(0);
  w.follower.frame(frame(11, 'identity.updated', { refetch: true }));
  await w.answer(10, [7]);
  assert.deepEqual(w.state, [7, 11]);
  await w.clock.pass(500);
  assert.equal(w.reads.length, 3);
  await w.answer(11, [8]);
  assert.deepEqual(w.state, [8]);
});

test('a new snapshot: a read from before it does not count', async () => {
  const w = new World();

  w.follower.snapshot(10);
  await w.clock.pass(0);
  w.follower.snapshot(50);
  w.send(51);
  await w.answer(20, [20]);
  assert.deepEqual(w.state, []);
  await w.clock.pass(500);
  assert.equal(w.reads.length, 2);
  assert.equal(w.reads[1]?.floor, 50);
  await w.answer(50, [50]);
  assert.deepEqual(w.state, [50, 51]);
});

test('more frames than are kept: the read must be newer than what was dropped', async () => {
  const w = new World();

  w.follower.snapshot(10);
  await w.clock.pass(0);
  for (let id = 11; id < 11 + 5000; id++) w.send(id);
  await w.answer(10, []);
  assert.deepEqual(w.state, []);
  await w.clock.pass(500);
  await w.answer(5010, [5010]);
  assert.deepEqual(w.state, [5010]);
});

test('failed reads are tried again, ever more slowly, and frames are kept', async () => {
  const w = new World();

  w.follower.snapshot(10);
  await w.clock.pass(0);
  for (const ms of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    w.reads[w.reads.length - 1]?.fail();
    await settle();
    assert.deepEqual(w.clock.due, [ms]);
    await w.clock.pass(ms);
  }
  assert.equal(w.failures, 7);
  w.send(11);
  await w.answer(10, [10]);
  assert.deepEqual(w.state, [10, 11]);
});

test('closed is closed', async () => {
  const w = new World();

  w.follower.snapshot(10);
  await w.clock.pass(0);
  w.follower.close();
  await w.answer(10, [10]);
  w.send(11);
  w.follower.refetch();
  assert.deepEqual(w.state, []);
  assert.deepEqual(w.clock.due, []);
});
