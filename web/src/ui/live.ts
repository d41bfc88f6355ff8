// SPDX-License-Identifier: Apache-2.0
// The hook that keeps one folded state alive for a page: stream, REST reads, and the status that the header shows.
import { useEffect, useReducer, useRef, useState } from 'preact/hooks';
import { api, ApiError } from '../api';
import { Follower } from '../fold/follow';
import type { Frame, SnapshotHead } from '../fold/frame';
import { Stream, type Source, type StreamEnvironment, type StreamStatus } from '../stream';

export interface LiveSpec<T> {
  /** Route of the stream under /api/v1, with its query. */
  path: string;
  names: readonly string[];
  read(floor: number): Promise<{ mark: number; value: T }>;
  reset(value: T, mark: number): void;
  apply(f: Frame): boolean;
  snapshot?(data: SnapshotHead & Record<string, unknown>): void;
  message?(data: unknown): void;
}

export interface Live {
  status: StreamStatus | null;
  /** The last failed read, until one succeeds. */
  error: ApiError | Error | null;
  /** True once a read has succeeded. */
  loaded: boolean;
  /** The newest frames, newest first. */
  recent: readonly Frame[];
  refetch(): void;
}

/** Reasons of `bye` that only a new sign-in mends, and what to tell. */
export const accessEndings: Record<string, string> = {
  token_expired: 'Your session has expired.',
  revoked: 'Your session was ended.',
  role_changed: 'Your role was changed.',
};

const pollMs = 10_000;
const recentMax = 40;
const paintMs = 60;

function later(ms: number, fn: () => void): () => void {
  const timer = setTimeout(fn, ms);
  return () => clearTimeout(timer);
}

export const environment: StreamEnvironment = {
  open: (url) => new EventSource(url) as unknown as Source,
  ticket: () => api.ticket(),
  probe: (url) => api.probe(url),
  later,
};

/** No events come, and reading may still do. */
function streamless(s: StreamStatus | null): boolean {
  const reason = s?.reason ?? '';
  return s?.state === 'lost' || (s?.state === 'ended' && !(reason in accessEndings) && reason !== 'topology_deleted');
}

type Listener = (s: StreamStatus | null) => void;
const listeners = new Set<Listener>();
let current: StreamStatus | null = null;

function publish(s: StreamStatus | null): void {
  current = s;
  for (const fn of listeners) fn(s);
}

/** The status of the page's stream; null on a page without one. */
export function useConnection(): StreamStatus | null {
  const [status, set] = useState(current);

  useEffect(() => {
    listeners.add(set);
    set(current);
    return () => void listeners.delete(set);
  }, []);
  return status;
}

/** Follow `make()` while the page is shown; `make` runs again when one of `inputs` changes. */
export function useLive<T>(make: () => LiveSpec<T>, inputs: readonly unknown[]): Live {
  const [, repaint] = useReducer((n: number) => n + 1, 0);
  const live = useRef<Live>({ status: null, error: null, loaded: false, recent: [], refetch: () => {} }).current;

  useEffect(() => {
    const spec = make();
    let stopPaint: (() => void) | null = null;
    const paint = (): void => {
      stopPaint ??= later(paintMs, () => {
        stopPaint = null;
        repaint(0);
      });
    };
    const follower = new Follower<T>({
      read: (floor) => spec.read(floor),
      reset: (value, mark) => {
        live.error = null;
        live.loaded = true;
        spec.reset(value, mark);
      },
      apply: (f) => spec.apply(f),
      changed: paint,
      failed: (error) => {
        live.error = error instanceof Error ? error : new Error(String(error));
        paint();
      },
      later,
    });
    const stream = new Stream(environment, {
      path: api.url(spec.path),
      names: spec.names,
      snapshot: (data) => {
        spec.snapshot?.(data);
        follower.snapshot(data.watermark);
        paint();
      },
      frame: (f) => {
        live.recent = [f, ...live.recent].slice(0, recentMax);
        follower.frame(f);
        paint();
      },
      message: (data) => {
        spec.message?.(data);
        paint();
      },
      status: (s) => {
        if (s.state !== live.status?.state && !live.loaded && streamless(s)) follower.refetch();
        live.status = s;
        publish(s);
        paint();
      },
    });
    const online = (): void => stream.retryNow();
    // Without a stream the page is still right, only later: it reads again now and then.
    const poll = setInterval(() => {
      if (streamless(live.status)) follower.refetch();
    }, pollMs);

    Object.assign(live, { status: null, error: null, loaded: false, recent: [], refetch: () => follower.refetch() });
    window.addEventListener('online', online);
    stream.start();
    return () => {
      window.removeEventListener('online', online);
      clearInterval(poll);
      stream.close();
      follower.close();
      stopPaint?.();
      publish(null);
    };
  }, inputs);

  return live;
}
