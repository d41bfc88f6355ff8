// SPDX-License-Identifier: Apache-2.0
// Folding the streams of identities and of one attacker: REST, then the later frames, must give REST at any later time.

const time = (ts) => new Date(Math.round(ts * 1000)).toISOString();
const by = (key) => (a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0);

/** Which identities exist, who belongs to whom, and the rows. */
export class IdentityFold {
  /** `identities` and `attackers` are lists with a watermark each; they may have been read one after the other. */
  constructor(identities, attackers) {
    this.rowsFrom = identities.watermark;
    this.membersFrom = attackers.watermark;
    this.rows = new Map(identities.body.data.map((r) => [r.uuid, structuredClone(r)]));
    this.members = new Map(attackers.body.data.map((a) => [a.uuid, a.identity_id]));
    // Rows that REST did not list at the start and that came back later: no frame tells all of them.
    this.unknown = new Set();
  }

  apply(f) {
    if (f.id > this.membersFrom) this.#move(f.event, f.data.payload);
    if (f.id > this.rowsFrom) this.#change(f.event, f.data.payload, time(f.data.ts));
  }

  #move(event, p) {
    switch (event) {
      case 'formed':
        for (const o of p.observation_uuids) this.members.set(o, p.identity_uuid);
        break;
      case 'observation.linked':
        this.members.set(p.observation_uuid, p.identity_uuid);
        break;
      case 'observation.unlinked':
        this.members.set(p.observation_uuid, null);
        break;
      case 'merged':
        for (const [o, i] of this.members) if (i === p.loser_uuid) this.members.set(o, p.winner_uuid);
        break;
      case 'unmerged':
        for (const o of p.observation_uuids) this.members.set(o, p.resurrected_uuid);
        break;
      default:
        break;
    }
  }

  #change(event, p, at) {
    switch (event) {
      case 'formed':
        if (!this.rows.has(p.identity_uuid)) this.rows.set(p.identity_uuid, { uuid: p.identity_uuid, merged_into_uuid: null });
        break;
      case 'merged':
        if (this.rows.has(p.loser_uuid)) Object.assign(this.rows.get(p.loser_uuid), { merged_into_uuid: p.winner_uuid, updated_at: at });
        break;
      case 'unmerged':
        if (!this.rows.has(p.resurrected_uuid)) {
          this.rows.set(p.resurrected_uuid, { uuid: p.resurrected_uuid });
          this.unknown.add(p.resurrected_uuid);
        }
        Object.assign(this.rows.get(p.resurrected_uuid), { merged_into_uuid: null, updated_at: at });
        break;
      case 'updated':
        if (this.rows.has(p.identity_uuid)) Object.assign(this.rows.get(p.identity_uuid), p.changed, { updated_at: at });
        break;
      default:
        break;
    }
  }

  /** {identities, members}: what both sides must agree on. */
  state() {
    const shown = [...this.rows.values()].filter((r) => r.merged_into_uuid === null);
    return {
      uuids: shown.map((r) => r.uuid).sort(),
      rows: shown.filter((r) => !this.unknown.has(r.uuid)).sort(by('uuid')),
      members: [...this.members].sort(by(0)),
    };
  }

  /** The same of REST. */
  wanted(identities, attackers) {
    return {
      uuids: identities.body.data.map((r) => r.uuid).sort(),
      rows: identities.body.data.filter((r) => !this.unknown.has(r.uuid)).sort(by('uuid')),
      members: attackers.body.data.map((a) => [a.uuid, a.identity_id]).sort(by(0)),
    };
  }
}

/** One attacker: the row, the observations, the identity. */
export class AttackerFold {
  constructor(rest) {
    this.watermark = rest.watermark;
    this.row = structuredClone(rest.body);
    this.refetch = false;
  }

  apply(f) {
    if (f.id <= this.watermark) return;
    const p = f.data.payload;
    const row = this.row;
    if (f.event.startsWith('attacker.') && !f.event.startsWith('attacker.session.')) row.updated_at = time(f.data.ts);
    switch (f.event) {
      case 'attacker.observed':
        for (const key of ['first_seen', 'last_seen', 'event_count']) row[key] = p[key];
        if (p.commands === null) this.refetch = true;
        else row.commands = [...p.commands, ...row.commands].slice(0, 200);
        break;
      case 'attacker.scored':
        for (const key of ['event_count', 'service_count', 'decky_count', 'bounty_count', 'credential_count', 'is_traversal']) row[key] = p[key];
        Object.assign(row, p.changed);
        break;
      case 'attacker.fingerprinted':
        this.#fingerprint(p);
        break;
      case 'formed':
        if (p.observation_uuids.includes(row.uuid)) row.identity_id = p.identity_uuid;
        break;
      case 'observation.linked':
        if (p.observation_uuid === row.uuid) row.identity_id = p.identity_uuid;
        break;
      case 'observation.unlinked':
        if (p.observation_uuid === row.uuid) row.identity_id = null;
        break;
      case 'merged':
        if (row.identity_id === p.loser_uuid) row.identity_id = p.winner_uuid;
        break;
      case 'unmerged':
        if (p.observation_uuids.includes(row.uuid)) row.identity_id = p.resurrected_uuid;
        break;
      default:
        break;
    }
  }

  #fingerprint({ primitive, value, source, confidence, ts, previous, rotation_count }) {
    const row = this.row;
    if (!row.fingerprints.some((x) => x.primitive === primitive && x.value === value)) row.fingerprints.push({ primitive, value, source, first_seen: ts });
    row.observations = [...row.observations.filter((o) => o.primitive !== primitive), { primitive, value, confidence, ts, source }];
    if (previous !== null) Object.assign(row, { rotation_count, last_rotation_at: ts });
  }

  state() {
    return AttackerFold.#comparable(this.row);
  }

  wanted(rest) {
    return AttackerFold.#comparable(rest.body);
  }

  static #comparable(row) {
    const order = (a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
    return { ...row, fingerprints: [...row.fingerprints].sort(order), observations: [...row.observations].sort(by('primitive')) };
  }
}
