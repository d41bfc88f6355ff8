// SPDX-License-Identifier: Apache-2.0
// Joins a REST read and a stream into one folded state: read at watermark R, ignore frames up to R, apply the rest; read
// again when a frame or a new snapshot says so. It knows neither the browser nor HTTP: reading, waiting and folding are
// handed in.
import type { Frame } from './frame';

export interface FollowOptions<T> {
  /** Read the state; `mark` is the watermark of the answer. `floor` is the least that is of use. */
  read(floor: number): Promise<{ mark: number; value: T }>;
  /** Replace the folded state. */
  reset(value: T, mark: number): void;
  /** Fold one frame; true when the state must be read again. Ids up to the fold's own watermark are ignored there. */
  apply(f: Frame): boolean;
  /** The folded state changed. */
  changed(): void;
  /** A read failed; it is tried again. */
  failed(error: unknown): void;
  /** Run later; returns what stops it. */
  later(ms: number, fn: () => void): () => void;
}

const bufferMax = 4096;
const readAgainMs = 500;
const retryMaxMs = 30_000;

export class Follower<T> {
  private buffer: Frame[] = [];
  /** A read with a watermark below this lacks something that was not kept. */
  private floor = 0;
  private reading = false;
  private wanted = false;
  private based = false;
  private retryMs = 1000;
  private stop: (() => void) | null = null;
  private closed = false;

  constructor(private readonly options: FollowOptions<T>) {}

  /** The stream starts (again) at `watermark`. */
  snapshot(watermark: number): void {
    this.buffer = [];
    this.floor = watermark;
    this.want(0);
  }

  frame(f: Frame): void {
    if (this.closed) return;
    if (f.id !== null && (this.reading || this.wanted || !this.based)) this.keep(f, f.id);
    if (this.based || f.id === null) {
      if (this.options.apply(f)) this.want(readAgainMs);
      this.options.changed();
    }
  }

  /** Read again, soon; many wishes become one read. */
  refetch(): void {
    this.want(0);
  }

  close(): void {
    this.closed = true;
    this.buffer = [];
    this.stop?.();
    this.stop = null;
  }

  /** Frames are kept only while a read is on its way; what does not fit must be in the read. */
  private keep(f: Frame, id: number): void {
    if (this.buffer.length >= bufferMax) {
      this.buffer = [];
      this.floor = id;
      return;
    }
    this.buffer.push(f);
  }

  private want(ms: number): void {
    if (this.closed) return;
    if (this.reading) {
      this.wanted = true;
      return;
    }
    if (this.stop && ms > 0) return;
    this.stop?.();
    this.wanted = true;
    this.stop = this.options.later(ms, () => {
      this.stop = null;
      void this.readNow();
    });
  }

  private async readNow(): Promise<void> {
    this.reading = true;
    this.wanted = false;
    try {
      const { mark, value } = await this.options.read(this.floor);
      if (this.closed) return;
      this.reading = false;
      this.retryMs = 1000;
      this.take(value, mark);
    } catch (error) {
      if (this.closed) return;
      this.reading = false;
      this.wanted = true;
      this.options.failed(error);
      this.want(this.retryMs);
      this.retryMs = Math.min(this.retryMs * 2, retryMaxMs);
    }
  }

  private take(value: T, mark: number): void {
    if (mark < this.floor) {
      this.want(readAgainMs);
      return;
    }
    const frames = this.buffer;
    let reread = this.wanted;

    this.buffer = [];
    this.wanted = false;
    this.based = true;
    this.options.reset(value, mark);
    // A later read starts after all of these were received, so it covers them: none needs to be kept.
    for (const f of frames) if (this.options.apply(f)) reread = true;
    if (reread) this.want(readAgainMs);
    this.options.changed();
  }
}
