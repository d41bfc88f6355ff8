// SPDX-License-Identifier: Apache-2.0
// One event stream of the server, kept open: a ticket for every connection, resume by the last id seen, back-off between
// tries. What the browser gives (EventSource, timers) is handed in, so all of it runs in a unit test.
import type { EventData, Frame, SnapshotHead } from './fold/frame';

export type StreamState = 'connecting' | 'live' | 'resuming' | 'lost' | 'ended';

export interface StreamStatus {
  state: StreamState;
  /** The last id seen: the watermark of what is shown. */
  lastId: number | null;
  /** Why it is lost or has ended. */
  reason: string | null;
  /** While lost: how long until the next try. */
  retryMs: number | null;
  /** How many snapshots after the first one, and how many resumes, there were. */
  snapshots: number;
  resumes: number;
}

/** The part of a DOM event that is used. */
export interface SourceEvent {
  data?: unknown;
  lastEventId?: string;
}

/** The part of EventSource that is used. */
export interface Source {
  addEventListener(name: string, fn: (ev: SourceEvent) => void): void;
  close(): void;
}

/** A failure that the server put a status on; 401, 403 and 404 are final. */
export interface Refusal {
  status: number;
  message: string;
}

export interface StreamEnvironment {
  open(url: string): Source;
  /** A fresh ticket; rejects with an object that may have `status`. */
  ticket(): Promise<string>;
  /** Asks the server what it says to this URL, since EventSource tells no status; null when it would stream. */
  probe?(path: string): Promise<Refusal | null>;
  later(ms: number, fn: () => void): () => void;
}

export interface StreamOptions {
  /** The route with its query, without the ticket. */
  path: string;
  /** Names of the event frames wanted; EventSource has no wildcard. */
  names: readonly string[];
  snapshot(data: SnapshotHead & Record<string, unknown>): void;
  frame(f: Frame): void;
  /** `message` frames of /stream; their ids are log ids. */
  message?(data: unknown): void;
  status(s: StreamStatus): void;
}

const backOffMinMs = 1000;
const backOffMaxMs = 30_000;
/** A `bye` with another reason is the end: whoever watches must sign in again, or has nothing left to watch. */
const byeAndBack = 'shutdown';

export class Stream {
  private status: StreamStatus = {
    state: 'connecting',
    lastId: null,
    reason: null,
    retryMs: null,
    snapshots: 0,
    resumes: 0,
  };
  private source: Source | null = null;
  private stopTimer: (() => void) | null = null;
  private backOffMs = backOffMinMs;
  /** Counts connections; what an older one still says is not heard. */
  private turn = 0;
  private greeted = false;
  /** What EventSource reports as last id: frames without an id repeat it. */
  private sourceId = '';

  constructor(
    private readonly env: StreamEnvironment,
    private readonly options: StreamOptions,
  ) {}

  start(): void {
    void this.connect();
  }

  /** Close for good; nothing is reported afterwards. */
  close(): void {
    this.drop();
    this.turn++;
    this.status = { ...this.status, state: 'ended', reason: null, retryMs: null };
  }

  /** Do not wait for the back-off, the network is back. */
  retryNow(): void {
    if (this.status.state === 'lost') void this.connect();
  }

  private async connect(): Promise<void> {
    this.drop();
    const turn = ++this.turn;
    const last = this.status.lastId;

    this.set({ state: last === null ? 'connecting' : 'resuming', retryMs: null });
    let ticket: string;
    try {
      ticket = await this.env.ticket();
    } catch (error) {
      if (turn === this.turn) this.refused(refusalOf(error));
      return;
    }
    if (turn !== this.turn) return;

    const source = this.env.open(withQuery(this.options.path, { ticket, lastEventId: last }));
    this.source = source;
    this.greeted = false;
    this.sourceId = '';
    const on = (name: string, fn: (ev: SourceEvent) => void): void =>
      source.addEventListener(name, (ev) => {
        if (turn === this.turn) fn(ev);
      });
    on('snapshot', (ev) => this.onSnapshot(ev));
    on('resumed', (ev) => this.onResumed(ev));
    on('bye', (ev) => this.onBye(ev));
    on('error', (ev) => this.onError(ev));
    on('message', (ev) => this.onMessage(ev));
    for (const name of this.options.names) on(name, (ev) => this.onFrame(name, ev));
  }

  private onSnapshot(ev: SourceEvent): void {
    const data = parse(ev) as (SnapshotHead & Record<string, unknown>) | null;

    if (!data || typeof data.watermark !== 'number') return this.lose('unreadable snapshot');
    this.idOf(ev);
    const first = this.status.lastId === null;
    this.alive({ lastId: data.watermark, snapshots: this.status.snapshots + (first ? 0 : 1) });
    this.options.snapshot(data);
  }

  private onResumed(ev: SourceEvent): void {
    const data = parse(ev) as { to?: unknown } | null;
    const to = typeof data?.to === 'number' ? data.to : this.status.lastId;

    this.idOf(ev);
    this.alive({ lastId: Math.max(to ?? 0, this.status.lastId ?? 0), resumes: this.status.resumes + 1 });
  }

  private onBye(ev: SourceEvent): void {
    const reason = String((parse(ev) as { reason?: unknown } | null)?.reason ?? 'unknown');

    if (reason === byeAndBack) this.lose(reason);
    else this.end(reason);
  }

  /** Both the server's own `error` frame, which has data, and EventSource's report of a broken connection. */
  private onError(ev: SourceEvent): void {
    if (ev.data !== undefined) {
      const message = (parse(ev) as { message?: unknown } | null)?.message;
      return this.lose(typeof message === 'string' ? message : 'stream interrupted');
    }
    if (this.greeted || !this.env.probe) return this.lose('connection lost');
    // It never began: ask why. EventSource must not try again with the spent ticket meanwhile.
    this.drop();
    const turn = ++this.turn;
    this.env.probe(this.options.path).then(
      (refusal) => {
        if (turn === this.turn) this.refused(refusal ?? { status: 0, message: 'connection lost' });
      },
      () => {
        if (turn === this.turn) this.lose('server not reachable');
      },
    );
  }

  private onMessage(ev: SourceEvent): void {
    const id = this.idOf(ev);
    const data = parse(ev);

    if (data === null) return;
    if ((data as { type?: unknown }).type === 'error') return this.lose('stream interrupted');
    if (id !== null) this.set({ lastId: id });
    this.options.message?.(data);
  }

  private onFrame(name: string, ev: SourceEvent): void {
    const id = this.idOf(ev);
    const data = parse(ev) as EventData | null;

    if (!data || typeof data.payload !== 'object' || data.payload === null) return;
    // Ids rise strictly; one that does not was seen before.
    if (id !== null && this.status.lastId !== null && id <= this.status.lastId) return;
    if (id !== null) this.set({ lastId: id });
    this.options.frame({ id, event: name, data });
  }

  /** The id this very frame carried; null for none. EventSource repeats the last one for frames without. */
  private idOf(ev: SourceEvent): number | null {
    const id = ev.lastEventId ?? '';

    if (id === '' || id === this.sourceId) return null;
    this.sourceId = id;
    return /^[0-9]{1,15}$/.test(id) ? Number(id) : null;
  }

  private alive(change: Partial<StreamStatus>): void {
    this.greeted = true;
    this.backOffMs = backOffMinMs;
    this.set({ ...change, state: 'live', reason: null, retryMs: null });
  }

  private refused(refusal: Refusal): void {
    if (refusal.status === 401 || refusal.status === 403 || refusal.status === 404) this.end(refusal.message);
    else this.lose(refusal.message);
  }

  private lose(reason: string): void {
    const ms = this.backOffMs;

    this.drop();
    this.turn++;
    this.backOffMs = Math.min(this.backOffMs * 2, backOffMaxMs);
    this.stopTimer = this.env.later(ms, () => {
      this.stopTimer = null;
      void this.connect();
    });
    this.set({ state: 'lost', reason, retryMs: ms });
  }

  private end(reason: string): void {
    this.drop();
    this.turn++;
    this.set({ state: 'ended', reason, retryMs: null });
  }

  private drop(): void {
    this.source?.close();
    this.source = null;
    this.stopTimer?.();
    this.stopTimer = null;
  }

  private set(change: Partial<StreamStatus>): void {
    this.status = { ...this.status, ...change };
    this.options.status(this.status);
  }
}

function parse(ev: SourceEvent): unknown {
  try {
    const data: unknown = JSON.parse(String(ev.data));
    return typeof data === 'object' ? data : null;
  } catch {
    return null;
  }
}

function refusalOf(error: unknown): Refusal {
  const e = error as { status?: unknown; message?: unknown } | null;

  return {
    status: typeof e?.status === 'number' ? e.status : 0,
    message: typeof e?.message === 'string' ? e.message : 'server not reachable',
  };
}

/** `path` with these added to its query; nulls are left out. */
export function withQuery(path: string, add: Record<string, string | number | null>): string {
  const query = Object.entries(add)
    .filter(([, value]) => value !== null && value !== '')
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`)
    .join('&');

  return query === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${query}`;
}
