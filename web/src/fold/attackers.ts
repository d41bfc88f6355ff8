// SPDX-License-Identifier: Apache-2.0
// The attackers seen last, folded from `GET /attackers` and the frames of `/events?topics=attacker.>,identity.>`.
import type { Attacker, Command, Page } from '../types';
import { compare, numberOr, record, text, textOrNull, texts, toTime, type EventData, type Frame } from './frame';

/** Event names of that stream: on /events a name is the full topic. */
export const attackerEvents = [
  'attacker.observed',
  'attacker.scored',
  'attacker.session.started',
  'attacker.session.ended',
  'attacker.fingerprinted',
  'identity.formed',
  'identity.observation.linked',
  'identity.observation.unlinked',
  'identity.merged',
  'identity.unmerged',
  'identity.updated',
] as const;

export const attackersMax = 500;
const commandsMax = 200;

export class AttackersFold {
  rows = new Map<string, Attacker>();
  total = 0;
  mark = 0;

  reset(page: Page<Attacker>, mark: number): void {
    this.rows = new Map(page.data.map((row) => [row.uuid, { ...row }]));
    this.total = page.total;
    this.mark = mark;
  }

  /** Apply one frame. True: it concerns a row that is not here or not wholly told, so read the list again. */
  apply(f: Frame): boolean {
    if (f.id === null || f.id <= this.mark) return false;
    this.mark = f.id;
    if (f.data.topic.startsWith('identity.')) return this.applyIdentity(f.data);

    const uuid = text(f.data.payload['attacker_uuid']);
    if (f.data.type === 'observed' && f.data.payload['first'] === true && !this.rows.has(uuid)) {
      const row = { ...empty, uuid, ip: text(f.data.payload['attacker_ip']) };
      this.rows.set(uuid, row);
      this.total++;
      observed(row, f.data);
      // Shown at once; what earlier frames of its transaction said about it is read.
      return true;
    }
    const row = this.rows.get(uuid);
    if (!row) return f.data.type !== 'session.started' && f.data.type !== 'session.ended';
    switch (f.data.type) {
      case 'observed':
        return observed(row, f.data);
      case 'scored':
        scored(row, f.data);
        return false;
      case 'fingerprinted':
        fingerprinted(row, f.data);
        return false;
      default:
        return false;
    }
  }

  /** As `GET /attackers` lists them: seen last comes first. */
  list(): Attacker[] {
    return [...this.rows.values()].sort((a, b) => compare(b.last_seen, a.last_seen) || compare(a.uuid, b.uuid));
  }

  /** Bring the fold back under its ceiling; rows seen longest ago leave. */
  trim(max = attackersMax): void {
    if (this.rows.size <= max) return;
    for (const row of this.list().slice(max)) this.rows.delete(row.uuid);
  }

  private applyIdentity(d: EventData): boolean {
    const p = d.payload;
    const uuid = text(p['identity_uuid']);

    switch (d.type) {
      case 'formed':
        this.move(texts(p['observation_uuids']) ?? [], uuid);
        return false;
      case 'observation.linked':
        this.move([text(p['observation_uuid'])], uuid);
        return false;
      case 'observation.unlinked':
        this.move([text(p['observation_uuid'])], null);
        return false;
      case 'merged':
        for (const row of this.rows.values())
          if (row.identity_id === p['loser_uuid']) row.identity_id = text(p['winner_uuid']);
        return false;
      case 'unmerged': {
        const moved = texts(p['observation_uuids']);
        if (!moved) return true;
        this.move(moved, text(p['resurrected_uuid']));
        return false;
      }
      default:
        return false;
    }
  }

  private move(observations: string[], identity: string | null): void {
    for (const uuid of observations) {
      const row = this.rows.get(uuid);
      if (row) row.identity_id = identity;
    }
  }
}

function observed(row: Attacker, d: EventData): boolean {
  const p = d.payload;

  row.first_seen = textOrNull(p['first_seen']) ?? row.first_seen;
  row.last_seen = textOrNull(p['last_seen']) ?? row.last_seen;
  row.event_count = numberOr(p['event_count'], row.event_count);
  row.updated_at = toTime(d.ts);
  if (!Array.isArray(p['commands'])) return true;
  const fresh = p['commands'] as Command[];
  row.commands = [...newestFirst(fresh), ...row.commands].slice(0, commandsMax);
  return false;
}

/** A frame may list new commands in either order; the row has the newest in front. */
function newestFirst(commands: Command[]): Command[] {
  const first = commands[0];
  const last = commands[commands.length - 1];

  return first && last && first.timestamp < last.timestamp ? [...commands].reverse() : commands;
}

function scored(row: Attacker, d: EventData): void {
  const p = d.payload;

  for (const key of ['event_count', 'service_count', 'decky_count', 'bounty_count', 'credential_count'] as const)
    row[key] = numberOr(p[key], row[key]);
  if (typeof p['is_traversal'] === 'boolean') row.is_traversal = p['is_traversal'];
  // Only columns of the list: the detail has more.
  const changed = Object.entries(record(p['changed']) ?? {}).filter(([key]) => key in row && key !== 'uuid');
  Object.assign(row, Object.fromEntries(changed), { updated_at: toTime(d.ts) });
}

function fingerprinted(row: Attacker, d: EventData): void {
  const p = d.payload;
  const primitive = text(p['primitive']);
  const value = text(p['value']);
  const at = textOrNull(p['ts']) ?? toTime(d.ts);

  if (!row.fingerprints.some((x) => x.primitive === primitive && x.value === value))
    row.fingerprints = [...row.fingerprints, { primitive, value, source: text(p['source']), first_seen: at }];
  if (typeof p['previous'] === 'string') {
    row.rotation_count = numberOr(p['rotation_count'], row.rotation_count);
    row.last_rotation_at = at;
  }
  row.updated_at = toTime(d.ts);
}

const empty: Attacker = {
  uuid: '',
  ip: '',
  identity_id: null,
  first_seen: '',
  last_seen: '',
  updated_at: '',
  event_count: 0,
  service_count: 0,
  decky_count: 0,
  bounty_count: 0,
  credential_count: 0,
  services: [],
  deckies: [],
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
};
