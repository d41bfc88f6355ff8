// SPDX-License-Identifier: Apache-2.0
// The five streams as the checker watches them: which rows of the store belong to each, and how each is folded.
import assert from 'node:assert/strict';
import { applyFrame, comparable, startFold } from './fold.mjs';
import { AttackerFold, IdentityFold } from './folds.mjs';
import { eventName, journal, logRows } from './kept.mjs';

const BUCKET_MS = 15 * 60 * 1000;
const family = (topic) => topic.slice(0, topic.indexOf('.'));

/** What a stream of the journal has in common; `pick(snapshot)` gives a filter of its rows, which may remember. */
class JournalStream {
  constructor(path, pick, { query, full = false } = {}) {
    this.path = path;
    this.pick = pick;
    this.query = query;
    this.name = full ? (topic) => topic : eventName;
  }

  /** Rows of one frame with an id. */
  rows(frame) {
    return [{ event: frame.event, id: frame.id, data: frame.data }];
  }

  /** The rows of the store in (snapshot, upto] that belong here. */
  async wanted(suite, snapshot, upto) {
    const mine = this.pick(snapshot.data);
    return (await journal(suite, snapshot.id, upto))
      .filter((row) => mine(row.topic, row.data.payload))
      .map(({ id, topic, data }) => ({ event: this.name(topic), id, data }));
  }

  /** A fold begun with what REST says now; null where there is none. */
  async begin() {
    return null;
  }
}

class TopologyStream extends JournalStream {
  constructor(id) {
    super(`/topologies/${id}/events`, () => (topic, p) => topic.startsWith(`topology.${id}.`) || (family(topic) === 'decky' && p.topology_id === id));
    this.id = id;
  }

  async begin(api) {
    const rest = await api.get(`/topologies/${this.id}`);
    return rest.status === 200 ? startFold(rest.body, rest.watermark) : null;
  }

  fold(state, frames) {
    for (const f of frames) applyFrame(state, f);
  }

  async check(api, state, what) {
    if (state.refetch) return false;
    const { body } = await api.get(`/topologies/${this.id}`);
    const { topology, lan, decky, edge, queue } = state;
    assert.deepEqual(
      comparable(topology, lan.values(), decky.values(), edge.values()),
      comparable(body.topology, body.lans, body.deckies, body.edges),
      what,
    );
    // What was queued before REST was read is in no frame after it, so only its end was seen.
    assert.equal(queue.size, 0, `${what}: queue`);
    return true;
  }

  async checkSnapshot(api, data) {
    const { body } = await api.get(`/topologies/${this.id}`);
    const wanted = { topology_id: this.id, status: body.topology.status, version: body.topology.version, in_flight: [] };
    assert.deepEqual(pickKeys(data, Object.keys(wanted)), wanted);
  }
}

class IdentityStream extends JournalStream {
  constructor() {
    super('/identities/events', () => (topic) => family(topic) === 'identity');
  }

  static async #rest(api) {
    const [identities, attackers] = [await api.get('/identities?limit=1000'), await api.get('/attackers?limit=1000')];
    if (identities.status !== 200 || attackers.status !== 200) return null;
    for (const { body } of [identities, attackers]) assert.equal(body.data.length, body.total, 'more than one page');
    return [identities, attackers];
  }

  async begin(api) {
    const rest = await IdentityStream.#rest(api);
    return rest && new IdentityFold(...rest);
  }

  fold(state, frames) {
    for (const f of frames) state.apply(f);
  }

  async check(api, state, what) {
    const rest = await IdentityStream.#rest(api);
    assert.deepEqual(state.state(), state.wanted(...rest), what);
    return true;
  }

  async checkSnapshot(api, data) {
    assert.deepEqual(data.identities, (await api.get('/identities?limit=50')).body.data);
  }
}

/** Identity events pass while they name the attacker, or the identity that is the attacker's at that time. */
function attackerPick(uuid) {
  return ({ attacker }) => {
    let identity = attacker.identity_id;
    return (topic, p) => {
      if (['attacker', 'credential'].includes(family(topic))) return p.attacker_uuid === uuid;
      if (family(topic) !== 'identity') return false;
      const me = p.observation_uuid === uuid || (p.observation_uuids ?? []).includes(uuid);
      const his = identity !== null && ['identity_uuid', 'winner_uuid', 'loser_uuid', 'resurrected_uuid', 'former_winner_uuid'].some((k) => p[k] === identity);
      if (!me && !his) return false;
      const event = eventName(topic);
      if (me && (event === 'formed' || event === 'observation.linked')) identity = p.identity_uuid;
      if (me && event === 'observation.unlinked') identity = null;
      if (me && event === 'unmerged') identity = p.resurrected_uuid;
      if (event === 'merged' && p.loser_uuid === identity) identity = p.winner_uuid;
      return true;
    };
  };
}

class AttackerStream extends JournalStream {
  constructor(uuid) {
    super(`/attackers/${uuid}/events`, attackerPick(uuid));
    this.uuid = uuid;
  }

  async begin(api) {
    const rest = await api.get(`/attackers/${this.uuid}`);
    return rest.status === 200 ? new AttackerFold(rest) : null;
  }

  fold(state, frames) {
    for (const f of frames) state.apply(f);
  }

  async check(api, state, what) {
    if (state.refetch) return false;
    assert.deepEqual(state.state(), state.wanted(await api.get(`/attackers/${this.uuid}`)), what);
    return true;
  }

  async checkSnapshot(api, data) {
    const { observations, service_activity, ...row } = (await api.get(`/attackers/${this.uuid}`)).body;
    assert.deepEqual(data.observations, observations);
    assert.deepEqual(pickKeys(data.attacker, Object.keys(row)), row);
  }
}

/** Ids are log ids here; a frame holds up to 50 rows; statistics come without an id. */
class LogStream {
  constructor(search, belongs) {
    this.path = '/stream';
    this.query = search ? { search } : undefined;
    this.belongs = belongs;
  }

  rows(frame) {
    assert.equal(frame.event, 'message');
    assert.equal(frame.data.type, 'logs');
    const list = frame.data.data;
    assert.ok(list.length >= 1 && list.length <= 50, `${list.length} rows in a frame`);
    assert.equal(list.at(-1).id, frame.id);
    return list.map((row) => ({ event: 'log', id: row.id, data: row }));
  }

  async wanted(suite, snapshot, upto) {
    return (await logRows(suite, snapshot.id, upto)).filter(this.belongs).map((row) => ({ event: 'log', id: row.id, data: row }));
  }

  async begin() {
    return null;
  }

  /** Whether the newest statistics and histogram are what REST says. */
  async hasNewest(api, frames) {
    assert.deepEqual(newestValues(frames), { stats: (await api.get('/stats')).body, histogram: (await api.get('/logs/histogram')).body });
    return true;
  }

  async checkSnapshot(api, data, frames) {
    const { body } = await api.get('/logs?limit=1');
    assert.equal(data.watermark, body.data[0].id);
    await this.hasNewest(api, frames);
  }

  /** Adds the histograms of these frames to `seen`: by the number of rows that the statistics before each of them count. */
  takeValues(frames, seen) {
    let total;
    for (const { data } of frames) {
      if (data?.type === 'stats') total = data.data.total_logs;
      if (data?.type !== 'histogram') continue;
      assert.notEqual(total, undefined, 'a histogram before the first statistics');
      const key = JSON.stringify(data.data);
      assert.equal(seen.get(total) ?? key, key, `two histograms of ${total} rows`);
      seen.set(total, key);
    }
  }

  /** Each histogram seen is that of the rows up to its watermark. None is older than a day, and no row has gone: the nth has the number n. */
  async checkValues(suite, seen, what) {
    if (seen.size === 0) return 0;
    const rows = await logRows(suite, 0, Math.max(...seen.keys()));
    const buckets = new Map();
    let n = 0;
    for (const total of [...seen.keys()].sort((a, b) => a - b)) {
      for (; n < total; n++) {
        assert.equal(rows[n]?.id, n + 1, `${what}: row ${n + 1}`);
        const time = new Date(Math.floor(Date.parse(rows[n].timestamp) / BUCKET_MS) * BUCKET_MS).toISOString();
        buckets.set(time, (buckets.get(time) ?? 0) + 1);
      }
      const wanted = [...buckets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([time, count]) => ({ time, count }));
      assert.deepEqual(JSON.parse(seen.get(total)), wanted, `${what}: histogram of ${total} rows`);
    }
    return seen.size;
  }
}

/** What a viewer of `/stream` has of the whole values. */
export function newestValues(frames) {
  const newest = (type) => frames.findLast((f) => f.data?.type === type)?.data.data;
  return { stats: newest('stats'), histogram: newest('histogram') };
}

function pickKeys(from, keys) {
  return Object.fromEntries(keys.map((k) => [k, from[k]]));
}

const FAMILIES = ['topology', 'decky', 'identity', 'attacker', 'credential'];

export function streams(topologies, attackers) {
  return [
    ...topologies.map((id) => new TopologyStream(id)),
    new IdentityStream(),
    ...attackers.map((uuid) => new AttackerStream(uuid)),
    new LogStream(null, () => true),
    new LogStream('service:redis', (row) => row.service === 'redis'),
    new JournalStream('/events', () => (topic) => FAMILIES.includes(family(topic)), { query: { topics: FAMILIES.map((f) => `${f}.>`).join(',') }, full: true }),
    new JournalStream('/events', () => (topic) => /^decky\.[^.]+\.state$|^identity\.[^.]+$/.test(topic), { query: { topics: 'decky.*.state,identity.*' }, full: true }),
  ];
}
