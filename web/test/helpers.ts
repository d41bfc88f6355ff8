// SPDX-License-Identifier: Apache-2.0
// Frames, rows and a clock for the tests.
import type { Frame } from '../src/fold/frame';
import type { Attacker, Decky, Edge, Identity, Lan, Mutation, Topology } from '../src/types';

export const tid = '0192-t';

export function frame(id: number | null, topic: string, payload: Record<string, unknown>, ts = 1769847300.25): Frame {
  const parts = topic.split('.');
  const skip = parts[0] === 'topology' || parts[0] === 'decky' ? 2 : 1;
  const type = parts.slice(skip).join('.');
  const event = parts[0] === 'decky' ? `decky.${type}` : type;
  return { id, event, data: { topic, type, ts, payload } };
}

export function onTopology(id: number | null, tail: string, payload: Record<string, unknown>, ts?: number): Frame {
  return frame(id, `topology.${tid}.${tail}`, payload, ts);
}

export function topology(over: Partial<Topology> = {}): Topology {
  return {
    id: tid,
    name: 'demo',
    mode: 'unihost',
    target_host: null,
    status: 'active',
    version: 3,
    needs_resync: false,
    created_at: '2026-01-31T08:00:00.000Z',
    status_changed_at: '2026-01-31T08:00:01.000Z',
    email_personas: '[]',
    language_default: 'en',
    ...over,
  };
}

export function lan(id: string, name: string, over: Partial<Lan> = {}): Lan {
  return { id, topology_id: tid, name, subnet: '172.16.0.0/24', is_dmz: false, x: null, y: null, ...over };
}

export function decky(uuid: string, name: string, over: Partial<Decky> = {}): Decky {
  return {
    uuid,
    topology_id: tid,
    name,
    services: ['ssh'],
    decky_config: { name, archetype: null, forwards_l3: false, ips_by_lan: {}, service_config: {} },
    home_lan_id: null,
    ip: null,
    state: 'running',
    last_error: null,
    endpoints: [{ service: 'ssh', proto: 'tcp', lan: 'dmz', address: '127.100.0.1', port: 10022 }],
    x: null,
    y: null,
    ...over,
  };
}

export function edge(id: string, decky_uuid: string, lan_id: string): Edge {
  return { id, topology_id: tid, decky_uuid, lan_id, ip: '172.16.0.2', is_bridge: false, forwards_l3: false };
}

export function mutation(id: string, over: Partial<Mutation> = {}): Mutation {
  return {
    id,
    topology_id: tid,
    op: 'add_decky',
    payload: {},
    state: 'pending',
    requested_at: '2026-01-31T08:15:00.250Z',
    applied_at: null,
    reason: null,
    ...over,
  };
}

export function identity(uuid: string, over: Partial<Identity> = {}): Identity {
  return {
    uuid,
    schema_version: 1,
    campaign_id: null,
    first_seen_at: '2026-01-31T08:00:00.000Z',
    last_seen_at: '2026-01-31T08:00:00.000Z',
    created_at: '2026-01-31T08:00:00.000Z',
    updated_at: '2026-01-31T08:00:00.000Z',
    confidence: 0.5,
    observation_count: 1,
    ja3_hashes: [],
    hassh_hashes: [],
    ja4h_hashes: [],
    ja4_quic_hashes: [],
    http_versions_seen: [],
    tls_cert_sha256: [],
    ipv6_link_local_iids: [],
    payload_simhashes: [],
    c2_endpoints: [],
    kd_digraph_simhash: null,
    merged_into_uuid: null,
    notes: null,
    ...over,
  };
}

export function attacker(uuid: string, ip: string, over: Partial<Attacker> = {}): Attacker {
  return {
    uuid,
    ip,
    identity_id: null,
    first_seen: '2026-01-31T08:00:00.000Z',
    last_seen: '2026-01-31T08:00:00.000Z',
    updated_at: '2026-01-31T08:00:00.000Z',
    event_count: 1,
    service_count: 1,
    decky_count: 1,
    bounty_count: 0,
    credential_count: 0,
    services: ['ssh'],
    deckies: ['web'],
    traversal_path: null,
    is_traversal: false,
    fingerprints: [],
    commands: [],
    rotation_count: 0,
    last_rotation_at: null,
    behavior: null,
    country_code: null,
    country_source: null,
    asn: null,
    as_name: null,
    bgp_prefix: null,
    asn_source: null,
    rpki_status: null,
    rpki_source: null,
    ptr_record: null,
    ...over,
  };
}

/** Timers that only run when told to. */
export class Clock {
  now = 0;
  private timers: { at: number; fn: () => void }[] = [];

  later = (ms: number, fn: () => void): (() => void) => {
    const timer = { at: this.now + ms, fn };
    this.timers.push(timer);
    return () => void (this.timers = this.timers.filter((t) => t !== timer));
  };

  /** When the waiting timers are due, from now. */
  get due(): number[] {
    return this.timers.map((t) => t.at - this.now).sort((a, b) => a - b);
  }

  /** Let time pass, then let promises settle. */
  async pass(ms: number): Promise<void> {
    this.now += ms;
    for (;;) {
      const next = this.timers.filter((t) => t.at <= this.now).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((t) => t !== next);
      next.fn();
      await settle();
    }
    await settle();
  }
}

/** Every promise that can go on has gone on. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A small repeatable random source. */
export function random(seed: number): () => number {
  let x = seed >>> 0;
  return () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32;
  };
}
