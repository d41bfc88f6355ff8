// SPDX-License-Identifier: Apache-2.0
// The log, live: rows of the filter, the numbers of all.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { api } from '../api';
import { LogsFold } from '../fold/logs';
import { withQuery } from '../stream';
import type { Bucket, LogRow, Page, Stats } from '../types';
import { useLive } from '../ui/live';
import { Failure, When } from '../ui/parts';

const readMax = 200;
const shownMax = 200;

export function LogPage(): JSX.Element {
  const [typed, setTyped] = useState('');
  const [search, setSearch] = useState('');
  const [frozen, setFrozen] = useState<LogRow[] | null>(null);
  const fold = useMemo(() => new LogsFold(), [search]);
  const live = useLive<LogRow[]>(
    () => ({
      path: withQuery('/stream', { search }),
      names: [],
      // Log rows carry no watermark: the fold is a union by id, and a read after the snapshot covers all before it.
      read: async (floor) => {
        const { body } = await api.get<Page<LogRow>>(withQuery('/logs', { limit: readMax, search }));
        return { mark: floor, value: body.data };
      },
      reset: (rows) => fold.reset(rows),
      apply: () => false,
      snapshot: () => fold.snapshot(),
      message: (data) => fold.message(data),
    }),
    [search],
  );
  const rows = frozen ?? fold.list().slice(0, shownMax);

  const submit = (ev: Event): void => {
    ev.preventDefault();
    setFrozen(null);
    setSearch(typed.trim());
  };
  return (
    <main class="page" id="content" tabIndex={-1}>
      <div class="head"><h1>Log</h1></div>
      <Tiles stats={fold.stats} />
      <Histogram buckets={fold.histogram} />
      <form class="row search" role="search" onSubmit={submit}>
        <input name="search" aria-label="Search" maxLength={512} value={typed} spellcheck={false}
          placeholder="service:ssh event:auth attacker-ip:10.0.0.9 or any word" onInput={(e) => setTyped(e.currentTarget.value)} />
        <button class="primary">Search</button>
        <button type="button" aria-pressed={frozen !== null} onClick={() => setFrozen(frozen ? null : rows)}>
          {frozen ? 'Go on' : 'Hold'}
        </button>
      </form>
      <Failure error={live.error} />
      {live.loaded && rows.length === 0 && <p class="dim">No rows.</p>}
      {rows.length > 0 && (
        <div class="scroll">
          <table class="log">
            <thead>
              <tr><th>Time</th><th>Decky</th><th>Service</th><th>Event</th><th>Attacker</th><th>Details</th></tr>
            </thead>
            <tbody>{rows.map((row) => <Row key={row.id} row={row} />)}</tbody>
          </table>
        </div>
      )}
    </main>
  );
}

/** The fields of a row as words; the session is the same in all rows of a connection and says little here. */
function details(fields: string): string {
  try {
    const entries = Object.entries(JSON.parse(fields) as Record<string, unknown>);
    return entries
      .filter(([key]) => key !== 'session_id')
      .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join('  ');
  } catch {
    return fields;
  }
}

function Row({ row }: { row: LogRow }): JSX.Element {
  return (
    <tr data-log={row.id}>
      <td><When at={row.timestamp} /></td>
      <td>{row.decky}</td>
      <td>{row.service}</td>
      <td>{row.event_type}</td>
      <td><a href={`#/attackers/${row.attacker_uuid}`}><code>{row.attacker_ip}</code></a></td>
      <td class="clip" title={row.raw_line}><code>{row.msg ?? details(row.fields)}</code></td>
    </tr>
  );
}

function Tiles({ stats }: { stats: Stats | null }): JSX.Element {
  const tiles: [string, number | undefined][] = [
    ['Log rows', stats?.total_logs],
    ['Attackers', stats?.unique_attackers],
    ['Deckies running', stats?.active_deckies],
    ['Deckies in all', stats?.deployed_deckies],
  ];
  return (
    <dl class="tiles">
      {tiles.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value ?? '–'}</dd>
        </div>
      ))}
    </dl>
  );
}

const bucketMs = 15 * 60 * 1000;
const bucketCount = 96;

/** 24 hours in quarters; buckets without rows are not sent. */
function Histogram({ buckets }: { buckets: Bucket[] }): JSX.Element {
  const counts = new Map(buckets.map((b) => [Math.floor(Date.parse(b.time) / bucketMs), b.count]));
  const newest = Math.floor(Date.now() / bucketMs);
  const most = Math.max(1, ...counts.values());
  const total = buckets.reduce((n, b) => n + b.count, 0);
  const bars = Array.from({ length: bucketCount }, (_, i) => counts.get(newest - bucketCount + 1 + i) ?? 0);
  return (
    <svg class="histogram" viewBox={`0 0 ${bucketCount} 30`} preserveAspectRatio="none" role="img"
      aria-label={`${total} log rows in the last 24 hours, at most ${most} in a quarter of an hour`}>
      {bars.map((n, i) => (
        <rect key={i} x={i + 0.1} width={0.8} y={30 - (29 * n) / most} height={(29 * n) / most} />
      ))}
    </svg>
  );
}
