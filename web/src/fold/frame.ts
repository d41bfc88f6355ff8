// SPDX-License-Identifier: Apache-2.0
// A frame of a stream, and small helpers that every fold shares. Nothing here knows the browser.

/** The data of an event frame: exactly these four keys. */
export interface EventData {
  topic: string;
  type: string;
  ts: number;
  payload: Record<string, unknown>;
}

/** An event frame. `id` is its journal number; null for what the journal does not hold. */
export interface Frame {
  id: number | null;
  event: string;
  data: EventData;
}

/** The reserved frame at the head of a stream, and whenever a stream starts again. */
export interface SnapshotHead {
  watermark: number;
  reason: string;
}

/** Journal time (float seconds) as the REST interface writes it. */
export function toTime(ts: number): string {
  return new Date(Math.round(ts * 1000)).toISOString();
}

/** Order of the store: by code unit, never by locale. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

export function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}

export function texts(value: unknown): string[] | null {
  return Array.isArray(value) && value.every((v) => typeof v === 'string') ? (value as string[]) : null;
}

export function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
}
