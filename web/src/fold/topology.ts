// SPDX-License-Identifier: Apache-2.0
// The state of one topology, folded from a REST read and the frames of its stream.
//
// Two parts with a watermark each: the rows come from `GET /topologies/{id}`, the queue comes from the stream's
// snapshot. A frame changes a part only if its id is above that part's watermark, so it does not matter in which order
// the read and the frames arrive.
import type { Decky, Edge, Json, Lan, Mutation, Topology, TopologyDetail } from '../types';
import { compare, numberOr, record, text, textOrNull, texts, toTime, type EventData, type Frame, type SnapshotHead } from './frame';

export interface TopologySnapshot extends SnapshotHead {
  topology_id: string;
  status: string;
  version: number;
  in_flight: Mutation[];
}

/** A mutation that ended while we watched. */
export interface Finished {
  id: string;
  op: string;
  state: string;
  reason: string | null;
  at: string;
}

export interface Traffic {
  service: string;
  attacker_ip: string;
  connections: number;
  bytes_in: number;
  bytes_out: number;
  ts: number;
}

/** Event names of a topology's stream; EventSource has no wildcard. */
export const topologyEvents = [
  'created',
  'changed',
  'status',
  'deleted',
  'mutation.enqueued',
  'mutation.applying',
  'mutation.applied',
  'mutation.failed',
  'mutation.cancelled',
  'decky.state',
  'decky.service_added',
  'decky.service_removed',
  'decky.service_config_changed',
  'decky.traffic',
] as const;

const finishedMax = 8;

export class TopologyFold {
  topology: Topology | null = null;
  lans = new Map<string, Lan>();
  deckies = new Map<string, Decky>();
  edges = new Map<string, Edge>();
  /** Pending, then applying, each newest first. */
  queue: Mutation[] = [];
  /** What ended lately, newest first; never part of the folded state. */
  finished: Finished[] = [];
  /** The latest traffic of each decky, by name; never part of the folded state. */
  traffic = new Map<string, Traffic>();
  deleted = false;
  rowsMark = 0;
  queueMark = 0;

  /** A stream began (again). The rows are stale from here until `reset`; the queue is right at once. */
  snapshot(s: TopologySnapshot): void {
    this.queue = s.in_flight.map((m) => ({ ...m }));
    this.queueMark = s.watermark;
    if (this.topology) {
      this.topology.status = s.status;
      this.topology.version = s.version;
    }
  }

  /** The rows as REST told them at watermark `mark`. */
  reset(detail: TopologyDetail, mark: number): void {
    this.topology = { ...detail.topology };
    this.lans = new Map(detail.lans.map((l) => [l.id, { ...l }]));
    this.deckies = new Map(detail.deckies.map((d) => [d.uuid, { ...d }]));
    this.edges = new Map(detail.edges.map((e) => [e.id, { ...e }]));
    this.rowsMark = mark;
  }

  /** Apply one frame. True: the frame could not carry the change, the rows must be read again. */
  apply(f: Frame): boolean {
    let reread = false;

    if (f.id === null) {
      this.ephemeral(f.data);
      return false;
    }
    if (f.id > this.queueMark) {
      this.queueMark = f.id;
      this.applyToQueue(f.data);
    }
    if (f.id > this.rowsMark) {
      this.rowsMark = f.id;
      reread = this.applyToRows(f.data);
    }
    return reread;
  }

  /** The rows in the order and shape of `GET /topologies/{id}`; null before the first read. */
  detail(): TopologyDetail | null {
    if (!this.topology) return null;
    return {
      topology: this.topology,
      lans: [...this.lans.values()].sort((a, b) => compare(a.name, b.name)),
      deckies: [...this.deckies.values()].sort((a, b) => compare(a.name, b.name)),
      edges: [...this.edges.values()].sort((a, b) => compare(a.id, b.id)),
    };
  }

  private applyToQueue(d: EventData): void {
    const p = d.payload;
    const id = text(p['mutation_id']);
    const known = this.queue.find((m) => m.id === id);
    const others = this.queue.filter((m) => m.id !== id);
    const row: Mutation = known ?? {
      id,
      topology_id: d.topic.split('.')[1] ?? '',
      op: text(p['op']),
      payload: (record(p['payload']) ?? {}) as Record<string, Json>,
      state: 'pending',
      requested_at: textOrNull(p['requested_at']) ?? toTime(d.ts),
      applied_at: null,
      reason: null,
    };

    switch (d.type) {
      case 'mutation.enqueued':
        this.queue = [{ ...row, state: 'pending' }, ...others];
        break;
      case 'mutation.applying': {
        const pending = others.filter((m) => m.state !== 'applying');
        const applying = others.filter((m) => m.state === 'applying');
        this.queue = [...pending, { ...row, state: 'applying' }, ...applying];
        break;
      }
      case 'mutation.applied':
      case 'mutation.failed':
      case 'mutation.cancelled':
        this.queue = others;
        this.finish(id, row.op, d);
        break;
      case 'deleted':
        this.queue = [];
        break;
    }
  }

  private finish(id: string, op: string, d: EventData): void {
    const state = d.type.slice('mutation.'.length);
    const done: Finished = { id, op, state, reason: textOrNull(d.payload['reason']), at: toTime(d.ts) };

    this.finished = [done, ...this.finished.filter((f) => f.id !== id)].slice(0, finishedMax);
  }

  private applyToRows(d: EventData): boolean {
    const p = d.payload;

    if (d.topic.startsWith('decky.')) {
      this.applyToDecky(d);
      return false;
    }
    if (this.topology && typeof p['version'] === 'number') this.topology.version = p['version'];
    switch (d.type) {
      case 'status':
        if (this.topology) {
          this.topology.status = text(p['status']);
          this.topology.status_changed_at = toTime(d.ts);
        }
        return false;
      case 'deleted':
        this.deleted = true;
        return false;
      case 'changed':
      case 'mutation.applied':
        return this.applyChanges(p);
      default:
        return false;
    }
  }

  private applyChanges(p: Record<string, unknown>): boolean {
    const changes = p['changes'];

    if (p['refetch'] === true || !Array.isArray(changes)) return true;
    for (const change of changes) {
      const c = record(change);
      if (c) this.applyChange(text(c['kind']), text(c['id']), c['action'] === 'deleted' ? null : record(c['row']));
    }
    return false;
  }

  /** `row` null: the row is gone. */
  private applyChange(kind: string, id: string, row: Record<string, unknown> | null): void {
    switch (kind) {
      case 'topology':
        if (row) this.topology = { ...(row as unknown as Topology) };
        break;
      case 'lan':
        if (row) this.lans.set(id, { ...(row as unknown as Lan) });
        else {
          this.lans.delete(id);
          this.dropEdges((e) => e.lan_id === id);
        }
        break;
      case 'decky':
        if (row) this.deckies.set(id, { ...(row as unknown as Decky) });
        else {
          this.deckies.delete(id);
          this.dropEdges((e) => e.decky_uuid === id);
        }
        break;
      case 'edge':
        if (row) this.edges.set(id, { ...(row as unknown as Edge) });
        else this.edges.delete(id);
        break;
    }
  }

  /** An edge cannot outlive its LAN or its decky. */
  private dropEdges(gone: (e: Edge) => boolean): void {
    for (const e of [...this.edges.values()]) if (gone(e)) this.edges.delete(e.id);
  }

  private applyToDecky(d: EventData): void {
    const p = d.payload;
    const name = text(p['decky_name']);
    const uuid = text(p['decky_uuid']);
    const decky = this.deckies.get(uuid) ?? [...this.deckies.values()].find((x) => x.name === name);
    const service = text(p['service_name']);

    if (!decky || (uuid !== '' && decky.uuid !== uuid)) return;
    const configs = { ...decky.decky_config.service_config };
    switch (d.type) {
      case 'state':
        decky.state = text(p['state']);
        decky.last_error = textOrNull(p['last_error']);
        if (decky.state !== 'running' && decky.state !== 'degraded') decky.endpoints = [];
        break;
      case 'service_added':
        decky.services = texts(p['services']) ?? decky.services;
        break;
      case 'service_removed':
        decky.services = texts(p['services']) ?? decky.services;
        delete configs[service];
        decky.decky_config = { ...decky.decky_config, service_config: configs };
        break;
      case 'service_config_changed':
        configs[service] = (record(p['service_config']) ?? {}) as Record<string, Json>;
        decky.decky_config = { ...decky.decky_config, service_config: configs };
        break;
    }
  }

  private ephemeral(d: EventData): void {
    const p = d.payload;

    if (d.type !== 'traffic') return;
    const name = text(p['decky_name']);
    if (this.traffic.size >= 1024 && !this.traffic.has(name)) return;
    this.traffic.set(name, {
      service: text(p['service']),
      attacker_ip: text(p['attacker_ip']),
      connections: numberOr(p['connections'], 0),
      bytes_in: numberOr(p['bytes_in'], 0),
      bytes_out: numberOr(p['bytes_out'], 0),
      ts: d.ts,
    });
  }
}
