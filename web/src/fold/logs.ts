// SPDX-License-Identifier: Apache-2.0
// The newest log rows, folded from `GET /logs` and the `message` frames of `/stream`. Ids here are log ids; a row never
// changes, so the fold is a union by id.
import type { Bucket, LogRow, Stats } from '../types';
import { record, text } from './frame';

export const logRowsMax = 500;

export class LogsFold {
  rows = new Map<number, LogRow>();
  stats: Stats | null = null;
  histogram: Bucket[] = [];
  /** Rows with an id up to this one have left; they are not missing. */
  floor = 0;

  /** The stream starts again: what came before is not known to be without a gap. */
  snapshot(): void {
    this.rows.clear();
    this.floor = 0;
  }

  reset(rows: LogRow[]): void {
    this.add(rows);
  }

  /** One `message` frame. */
  message(data: unknown): void {
    const d = record(data);

    switch (text(d?.['type'])) {
      case 'logs':
        if (Array.isArray(d?.['data'])) this.add(d['data'] as LogRow[]);
        break;
      case 'stats':
        this.stats = d?.['data'] as Stats;
        break;
      case 'histogram':
        if (Array.isArray(d?.['data'])) this.histogram = d['data'] as Bucket[];
        break;
    }
  }

  /** Newest first. */
  list(): LogRow[] {
    return [...this.rows.values()].sort((a, b) => b.id - a.id);
  }

  private add(rows: LogRow[]): void {
    for (const row of rows) if (row.id > this.floor) this.rows.set(row.id, row);
    if (this.rows.size <= logRowsMax) return;
    const ids = [...this.rows.keys()].sort((a, b) => a - b);
    const gone = ids.slice(0, ids.length - logRowsMax);
    for (const id of gone) this.rows.delete(id);
    this.floor = gone[gone.length - 1] ?? this.floor;
  }
}
