// SPDX-License-Identifier: Apache-2.0
// Small parts that several pages share.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../api';
import { toTime, type Frame } from '../fold/frame';
import type { StreamStatus } from '../stream';
import { useConnection } from './live';

/** Colour by meaning; the word is always there too. */
const tones: Record<string, string> = {
  active: 'good', running: 'good', applied: 'good', live: 'good', ok: 'good', healthy: 'good',
  stale: 'warn', failing: 'bad', unhealthy: 'bad',
  degraded: 'warn', deploying: 'busy', tearing_down: 'busy', applying: 'busy', pending: 'idle',
  failed: 'bad', teardown_failed: 'bad', cancelled: 'idle', torn_down: 'idle',
  connecting: 'busy', resuming: 'busy', lost: 'warn', ended: 'bad',
};

export function Badge({ state, title }: { state: string; title?: string }): JSX.Element {
  return (
    <span class={`badge ${tones[state] ?? 'idle'}`} data-state={state} title={title}>
      {state.replace(/_/g, ' ')}
    </span>
  );
}

export function Chips({ items, empty = '–' }: { items: readonly string[]; empty?: string }): JSX.Element {
  if (items.length === 0) return <span class="dim">{empty}</span>;
  return (
    <ul class="chips">
      {items.map((item) => (
        <li key={item}>{item}</li>
      ))}
    </ul>
  );
}

/** A time, in the reader's zone; the exact one is in the title. */
export function When({ at }: { at: string | null }): JSX.Element {
  if (!at) return <span class="dim">–</span>;
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  return (
    <time dateTime={at} title={at}>
      {today ? date.toLocaleTimeString() : date.toLocaleString()}
    </time>
  );
}

export function short(uuid: string): string {
  return uuid.length > 13 ? `…${uuid.slice(-12)}` : uuid;
}

export function Failure({ error }: { error: Error | null }): JSX.Element | null {
  if (!error) return null;
  const api = error instanceof ApiError ? error : null;
  return (
    <div class="failure" role="alert">
      <p>{error.message}</p>
      {api && api.errors.length > 0 && (
        <ul>
          {api.errors.map((e) => (
            <li key={e.field + e.message}>
              <code>{e.field === '' ? 'body' : e.field}</code> {e.message}
            </li>
          ))}
        </ul>
      )}
      {api && api.issues.length > 0 && (
        <ul>
          {api.issues.map((i) => (
            <li key={i.code + i.message}>
              <code>{i.code}</code> {i.message}
            </li>
          ))}
        </ul>
      )}
      {api?.retryAfterS != null && <p class="dim">Try again in {api.retryAfterS} s.</p>}
    </div>
  );
}

function describe(s: StreamStatus): string {
  switch (s.state) {
    case 'lost':
      return `${s.reason ?? 'connection lost'}; next try in ${Math.round((s.retryMs ?? 0) / 1000)} s`;
    case 'ended':
      return s.reason ?? '';
    case 'live':
      return s.resumes > 0 ? `resumed ${s.resumes}×` : '';
    default:
      return '';
  }
}

/** The state of the page's stream and its watermark. */
export function Connection(): JSX.Element {
  const s = useConnection();

  if (!s)
    return (
      <div class="connection" id="connection" data-state="none">
        <span class="dim">no stream on this page</span>
      </div>
    );
  const note = describe(s);
  return (
    <div class="connection" id="connection" data-state={s.state} data-reason={s.reason ?? ''} data-resumes={s.resumes}>
      <span aria-live="polite">
        <Badge state={s.state} /> {note !== '' && <span class="note">{note}</span>}
      </span>
      <span class="mark" title="Watermark: the last event seen">
        #<span id="watermark">{s.lastId ?? '–'}</span>
      </span>
    </div>
  );
}

/** A button that asks once more in a dialog before it acts. */
export function Confirm(props: {
  label: string;
  question: string;
  danger?: boolean;
  act(): void;
  disabled?: boolean;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button type="button" class={props.danger ? 'danger' : ''} disabled={props.disabled ?? false}
        onClick={() => dialog.current?.showModal()}>
        {props.label}
      </button>
      <dialog ref={dialog}>
        <p>{props.question}</p>
        <form method="dialog" class="row end">
          <button>Cancel</button>
          <button class={props.danger ? 'danger' : 'primary'} onClick={props.act}>
            {props.label}
          </button>
        </form>
      </dialog>
    </>
  );
}

/** Runs one request at a time for a form or button, and keeps what it said. */
export function useAction(): {
  busy: boolean;
  error: Error | null;
  done: string | null;
  run(job: () => Promise<string | void>): void;
} {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const [done, setDone] = useState<string | null>(null);
  const mounted = useRef(true);

  useEffect(() => () => void (mounted.current = false), []);
  const run = (job: () => Promise<string | void>): void => {
    setBusy(true);
    setError(null);
    setDone(null);
    job().then(
      (said) => {
        if (!mounted.current) return;
        setBusy(false);
        setDone(said ?? null);
      },
      (e: unknown) => {
        if (!mounted.current) return;
        setBusy(false);
        setError(e instanceof Error ? e : new Error(String(e)));
      },
    );
  };
  return { busy, error, done, run };
}

export function Field(props: { label: string; hint?: string; children: ComponentChildren }): JSX.Element {
  return (
    <label class="field">
      <span>{props.label}</span>
      {props.children}
      {props.hint && <small class="dim">{props.hint}</small>}
    </label>
  );
}

/** What came last on the stream, newest first. */
export function Recent({ frames }: { frames: readonly Frame[] }): JSX.Element {
  if (frames.length === 0) return <p class="dim">Nothing yet.</p>;
  return (
    <ol class="recent">
      {frames.map((f, i) => (
        <li key={f.id ?? `x${frames.length - i}`}>
          <span class="mark">{f.id === null ? '·' : `#${f.id}`}</span> <When at={toTime(f.data.ts)} /> <code title={f.data.topic}>{f.event}</code>
          <span class="dim clip">{JSON.stringify(f.data.payload)}</span>
        </li>
      ))}
    </ol>
  );
}
