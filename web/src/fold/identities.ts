// SPDX-License-Identifier: Apache-2.0
// The newest identities, folded from `GET /identities` and the frames of `/identities/events`.
import type { Identity, Page } from '../types';
import { compare, record, text, texts, toTime, type Frame } from './frame';

export const identityEvents = [
  'formed',
  'observation.linked',
  'observation.unlinked',
  'merged',
  'unmerged',
  'updated',
] as const;

/** How many rows the fold keeps; what is older leaves it and comes back when it changes. */
export const identitiesMax = 500;

export class IdentitiesFold {
  rows = new Map<string, Identity>();
  /** Which identity an observation was last seen to join, as far as frames told. */
  members = new Map<string, string>();
  total = 0;
  mark = 0;

  reset(page: Page<Identity>, mark: number): void {
    this.rows = new Map(page.data.map((row) => [row.uuid, { ...row }]));
    this.members.clear();
    this.total = page.total;
    this.mark = mark;
  }

  /** Apply one frame. True: it concerns a row that is not here, so the list must be read again. */
  apply(f: Frame): boolean {
    if (f.id === null || f.id <= this.mark) return false;
    this.mark = f.id;
    const p = f.data.payload;
    const at = toTime(f.data.ts);
    const uuid = text(p['identity_uuid']);

    switch (f.data.type) {
      case 'formed':
        if (!this.rows.has(uuid)) {
          this.rows.set(uuid, { ...empty, uuid, created_at: '', updated_at: at });
          this.total++;
        }
        this.move(texts(p['observation_uuids']) ?? [], uuid);
        return false;
      case 'observation.linked':
        this.move([text(p['observation_uuid'])], uuid);
        return false;
      case 'observation.unlinked':
        this.members.delete(text(p['observation_uuid']));
        return false;
      case 'merged':
        return this.merged(text(p['winner_uuid']), text(p['loser_uuid']), at);
      case 'unmerged':
        this.move(texts(p['observation_uuids']) ?? [], text(p['resurrected_uuid']));
        return this.unmerged(text(p['resurrected_uuid']), at);
      case 'updated':
        return this.updated(uuid, record(p['changed']) ?? {}, at);
      default:
        return false;
    }
  }

  /** As `GET /identities` lists them: merged-out rows excluded, newest change first. */
  list(): Identity[] {
    return [...this.rows.values()]
      .filter((row) => row.merged_into_uuid === null && row.created_at !== '')
      .sort((a, b) => compare(b.updated_at, a.updated_at) || compare(a.uuid, b.uuid));
  }

  /** Bring the fold back under its ceiling; rows with the oldest change leave. */
  trim(max = identitiesMax): void {
    if (this.rows.size <= max) return;
    for (const row of [...this.rows.values()].filter((r) => r.merged_into_uuid !== null)) this.rows.delete(row.uuid);
    for (const row of this.list().slice(max)) this.rows.delete(row.uuid);
    if (this.members.size > max * 8) this.members.clear();
  }

  private move(observations: string[], to: string): void {
    for (const o of observations) this.members.set(o, to);
  }

  private merged(winner: string, loser: string, at: string): boolean {
    const row = this.rows.get(loser);

    this.total = Math.max(0, this.total - 1);
    for (const [o, identity] of this.members) if (identity === loser) this.members.set(o, winner);
    for (const r of this.rows.values()) if (r.merged_into_uuid === loser) r.merged_into_uuid = winner;
    if (row) {
      row.merged_into_uuid = winner;
      row.updated_at = at;
    }
    return !this.rows.has(winner);
  }

  private unmerged(uuid: string, at: string): boolean {
    const row = this.rows.get(uuid);

    this.total++;
    if (!row) return true;
    row.merged_into_uuid = null;
    row.updated_at = at;
    return false;
  }

  private updated(uuid: string, changed: Record<string, unknown>, at: string): boolean {
    const row = this.rows.get(uuid);

    if (!row) return true;
    Object.assign(row, changed, { uuid, updated_at: at });
    return false;
  }
}

/** Whether a frame may change what is shown about any of these identities (one, and all merged into it). */
export function concerns(f: Frame, identities: ReadonlySet<string>): boolean {
  const p = f.data.payload;
  const keys = ['identity_uuid', 'winner_uuid', 'loser_uuid', 'resurrected_uuid', 'former_winner_uuid'];

  return keys.some((key) => typeof p[key] === 'string' && identities.has(p[key] as string));
}

const empty: Identity = {
  uuid: '',
  schema_version: 1,
  campaign_id: null,
  first_seen_at: '',
  last_seen_at: '',
  created_at: '',
  updated_at: '',
  confidence: 0,
  observation_count: 0,
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
};
