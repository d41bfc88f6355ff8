// SPDX-License-Identifier: Apache-2.0
// Many viewers of all five streams that join, stall, are cut and come back, at either of two gateways, while writers go at full speed and
// processes are killed: what each of them saw is what the journal (or the log) holds above its snapshot, and what it folds is what REST answers.
import assert from 'node:assert/strict';
import http from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from './lib/api.mjs';
import { Gateway } from './lib/gateway.mjs';
import { random } from './lib/random.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, eventually } from './lib/suite.mjs';
import { streams } from './lib/watched.mjs';

const SECONDS = process.env.DECNET_SOAK ? 300 : 30; // with the bus, and as long again without
const VIEWERS = 32;
const ATTACKERS = 3;
const ADDRESSES = process.env.DECNET_SOAK ? 800 : 250; // all of them fit on one page of REST
const QUEUED_MOST = 20;
const LIVE_MOST = 12;
// A process that is killed too often is away most of the time: the supervisor waits longer each time.
const KILL_PAUSE_MS = process.env.DECNET_SOAK ? [3000, 10000] : [1000, 2500];
const PROCESSES = ['decnet-bus', 'decnet-decoy', 'decnet-resolver', 'decnet-mutator', 'decnet-api'];
const SECOND = 'the second gateway';

/** One viewer's history: a snapshot, then rows over any number of connections. */
class Watcher {
  constructor(world, number) {
    this.world = world;
    this.number = number;
    this.rng = random(world.rng.seed + 1000 + number);
    this.lives = 0;
    this.turn = number;
    this.#forget();
  }

  #forget() {
    this.stream = this.world.streams[this.turn++ % this.world.streams.length];
    this.snapshot = null;
    this.rows = [];
    this.last = 0;
    this.fold = null;
    this.values = new Map();
  }

  /** Frames of the connection's life, in order; ids must rise from the first to the last of all lives. */
  #take() {
    for (const f of this.viewer.frames) {
      if (f.id === undefined) continue;
      if (f.event === 'snapshot') {
        assert.equal(this.snapshot, null, `${this}: a second snapshot, ${f.data.reason}`);
        assert.equal(f.data.reason, 'connect', `${this}`);
        assert.equal(f.data.watermark, f.id, `${this}`);
        this.snapshot = f;
      } else if (f.event === 'resumed') {
        assert.ok(f.id >= this.last, `${this}: resumed#${f.id} after ${this.last}`);
        assert.equal(f.data.from, this.asked, `${this}`);
        assert.equal(f.data.replayed, this.rows.length - this.before, `${this}: replayed`);
      } else {
        assert.ok(this.snapshot, `${this}: a row before the snapshot`);
        for (const row of this.stream.rows(f)) {
          assert.ok(row.id > this.last, `${this}: ${row.event}#${row.id} after ${this.last}`);
          this.last = row.id;
          this.rows.push(row);
        }
      }
      this.last = f.id;
    }
    this.stream.takeValues?.(this.viewer.frames, this.values);
  }

  #connect(lastEventId, cutAt) {
    const { suite, api, second } = this.world;
    return new Viewer(this.rng.next() < 0.5 ? suite.url : second.url, this.stream.path, { token: api.token, query: this.stream.query, lastEventId: lastEventId || undefined, cutAt });
  }

  /** One connection: it may be cut at any byte, or not read for a while. */
  async #live() {
    this.asked = this.last;
    this.before = this.rows.length;
    this.viewer = this.#connect(this.last, this.rng.next() < 0.3 ? 200 + this.rng.below(40000) : Infinity);
    let status;
    try {
      status = await this.viewer.opened;
    } catch {
      return; // the gateway is away
    }
    if (status !== 200) {
      assert.equal(status, 503, `${this}`);
      return;
    }
    this.lives++;
    if (!this.fold) await this.#startFold();
    const until = Date.now() + 100 + this.rng.below(2500);
    while (!this.viewer.ended && (Date.now() < until || this.world.settling) && !this.world.over) {
      await pause(20 + this.rng.below(80));
      if (this.world.settling || this.rng.next() > 0.1) continue;
      this.viewer.pause();
      await pause(this.rng.below(1500));
      this.viewer.resume();
    }
    this.viewer.cut();
    assert.equal(this.viewer.broken, null, `${this}`);
    this.#take();
  }

  /** REST after the snapshot: its watermark is at or above it. */
  async #startFold() {
    try {
      if (this.last === 0) await this.viewer.event('snapshot');
      this.fold = await this.stream.begin(this.world.api);
    } catch (e) {
      if (e instanceof assert.AssertionError) throw e;
      // Cut or killed before it: the next life tries again.
    }
  }

  async run() {
    await pause(this.rng.below(2000));
    while (!this.world.over) {
      await this.#live();
      if (this.world.over) break;
      if (this.snapshot && !this.world.settling && this.rng.next() < 0.15) {
        await this.verify(this.last);
        this.#forget();
      }
      await pause(this.rng.below(200));
    }
  }

  /** Whether a connection that names the last id seen is told that it has missed nothing. */
  async hasEverything() {
    const seen = Math.max(this.last, this.viewer.lastId());
    if (seen === 0) return false;
    const v = this.#connect(seen);
    try {
      const f = await v.wait('a beginning', (x) => x.event === 'resumed' || x.event === 'snapshot');
      if (f.event !== 'resumed' || f.data.replayed !== 0) return false;
      return (await this.stream.hasNewest?.(this.world.api, this.viewer.frames)) ?? true;
    } finally {
      v.cut();
    }
  }

  /** All rows of the store up to `upto`, each once, and nothing else. */
  async verify(upto) {
    const wanted = await this.stream.wanted(this.world.suite, this.snapshot, upto);
    assert.deepEqual(
      this.rows.map((f) => f.id),
      wanted.map((f) => f.id),
      `${this}: ids above ${this.snapshot.id}`,
    );
    assert.deepEqual(this.rows, wanted, `${this}`);
    this.world.compared += wanted.length;
    this.world.histories++;
    this.world.histograms += (await this.stream.checkValues?.(this.world.suite, this.values, `${this}`)) ?? 0;
  }

  async verifyFold() {
    if (!this.fold) return;
    this.stream.fold(this.fold, this.rows);
    if (await this.stream.check(this.world.api, this.fold, `${this}: folded from ${this.snapshot.id}`)) this.world.folds.add(this.stream.constructor.name);
  }

  toString() {
    return `viewer ${this.number} of ${this.stream.path} in life ${this.lives}`;
  }
}

/** Mutations as fast as they are answered, with a bounded queue. */
async function write(world, topology, number) {
  const rng = random(world.rng.seed + number);
  const live = [];
  let names = 0;
  const next = () => {
    if (live.length < 2 || (live.length < LIVE_MOST && rng.next() < 0.4)) {
      const name = `w${number}-${names++}`;
      return [{ op: 'add_decky', payload: { name, lan: rng.pick(topology.lans), services: [rng.pick(['http', 'redis', 'telnet'])] } }, () => live.push(name)];
    }
    const at = rng.below(live.length);
    const decky = live[at];
    if (rng.next() < 0.3) return [{ op: 'update_decky', payload: { decky, services: rng.pick([['http'], ['redis', 'telnet'], ['http', 'redis']]), x: rng.below(500) } }, () => {}];
    return [{ op: 'remove_decky', payload: { decky } }, () => live.splice(at, 1)];
  };
  while (!world.settling) {
    const [body, done] = next();
    try {
      const res = await world.api.post(`/topologies/${topology.id}/mutations`, body);
      if (res.status === 202) world.accepted++;
      if (res.status === 202 || res.status === 409) done();
      while (!world.settling && (await openMutations(world, topology)) > QUEUED_MOST) await pause(50);
    } catch {
      await pause(50); // the gateway is away; what it did not answer is unknown
    }
  }
}

async function openMutations(world, topology) {
  let sum = 0;
  for (const state of ['pending', 'applying']) {
    const res = await world.api.get(`/topologies/${topology.id}/mutations?state=${state}`);
    if (res.status !== 200) throw new Error(`mutations: ${res.status}`);
    sum += res.body.total;
  }
  return sum;
}

/** One request of HTTP; a body that others send too makes them the same hands. */
function visit(endpoint, localAddress, rng, hand) {
  return new Promise((good) => {
    const post = rng.next() < 0.4;
    const req = http.request(
      {
        method: post ? 'POST' : 'GET',
        host: endpoint.address,
        port: endpoint.port,
        path: `/${rng.pick(['', 'admin', '.env', 'wp-login.php'])}`,
        agent: false,
        localAddress,
        timeout: 5000,
        headers: { 'User-Agent': `probe/${rng.below(40)}`, ...(rng.next() < 0.2 ? { Authorization: `Basic ${btoa(`root:pw-${rng.below(60)}`)}` } : {}) },
      },
      (res) => res.resume(),
    );
    req.on('timeout', () => req.destroy());
    req.on('error', good);
    req.on('close', good);
    req.end(post ? `#!/bin/sh\n# the tool of hand ${hand}\nexec /tmp/.${hand}\n` : undefined);
  });
}

/** A few commands of redis, the last of which fetches something. */
function talk(endpoint, localAddress, rng) {
  return new Promise((good) => {
    const socket = connect({ host: endpoint.address, port: endpoint.port, localAddress });
    socket.setTimeout(5000, () => socket.destroy());
    socket.on('error', good);
    socket.on('close', good);
    socket.on('data', () => {});
    socket.write(`AUTH pw-${rng.below(60)}\r\nINFO\r\nSET x${rng.below(9)} y\r\nGET z${rng.below(9)}\r\nQUIT\r\n`);
  });
}

/** From ever new addresses, up to as many as fit on a page; four in a row are one pair of hands. */
async function attack(world, number) {
  const rng = random(world.rng.seed + 100 + number);
  while (!world.settling) {
    const known = Math.min(ADDRESSES, 10 + Math.floor(((Date.now() - world.began) / (SECONDS * 1000)) * ADDRESSES));
    const i = rng.next() < 0.2 ? rng.below(world.attackers.length) : rng.below(known);
    if (rng.next() < 0.3) await talk(world.redis, address(i), rng);
    else await visit(world.http, address(i), rng, Math.floor(i / 4));
    world.requests++;
    await pause(rng.below(30));
  }
}

const address = (i) => `127.9.${Math.floor(i / 250)}.${1 + (i % 250)}`;

/** The analyst's decisions: merge, split, note. */
async function decide(world) {
  const rng = random(world.rng.seed + 300);
  while (!world.settling) {
    try {
      const list = (await world.api.get('/identities?limit=1000')).body.data ?? [];
      const [a, b] = [list[rng.below(list.length)], list[rng.below(list.length)]];
      let res;
      if (!a) res = null;
      else if (rng.next() < 0.3) res = await world.api.post(`/identities/${a.uuid}/notes`, { text: `seen ${rng.below(1000)}` });
      else if (rng.next() < 0.6 && a.uuid !== b.uuid) res = await world.api.post('/identities/merge', { winner_uuid: a.uuid, loser_uuid: b.uuid });
      else {
        const members = (await world.api.get(`/identities/${a.uuid}/observations`)).body.data ?? [];
        if (members.length > 1) res = await world.api.post(`/identities/${a.uuid}/split`, { observation_uuids: [rng.pick(members).uuid] });
      }
      if (res && res.status < 300) world.decisions++;
    } catch {
      // the gateway is away
    }
    await pause(rng.below(400));
  }
}

async function setUp(suite) {
  suite.cli('demo');
  const api = await Api.admin(suite);
  const demo = await api.demoTopology();
  const made = await api.expect(201, 'POST', '/topologies', {
    name: 'second',
    mode: 'unihost',
    depth: 1,
    branching_factor: 2,
    deckies_per_lan_min: 1,
    deckies_per_lan_max: 1,
    randomize_services: false,
    services_explicit: ['redis'],
    seed: 7,
  });
  const deployed = await api.post(`/topologies/${made.id}/deploy`);
  assert.ok(deployed.status < 300, JSON.stringify(deployed.body));
  await eventually('the second topology is active', async () => (await api.get(`/topologies/${made.id}`)).body.topology.status === 'active');
  const topologies = [];
  const endpoints = [];
  for (const { id } of [demo, made]) {
    const detail = await api.expect(200, 'GET', `/topologies/${id}`);
    topologies.push({ id, lans: detail.lans.map((l) => l.name) });
    endpoints.push(...detail.deckies.flatMap((d) => d.endpoints));
  }
  const found = { api, topologies, http: endpoints.find((e) => e.service === 'http'), redis: endpoints.find((e) => e.service === 'redis') };
  found.attackers = [];
  for (const i of [0, 1, 2]) {
    await visit(found.http, address(i), random(i), 0);
    const { uuid } = await eventually('the attacker is known', async () => (await api.get(`/attackers?search=${address(i)}`)).body.data[0]);
    found.attackers.push(uuid);
  }
  found.streams = streams(topologies.map((t) => t.id), found.attackers);
  return found;
}

/** Resolves with the watermark when every mutation has ended and neither journal nor log grows. */
async function settle(world) {
  await world.suite.ready();
  for (const t of world.topologies) await eventually('the queue is empty', async () => (await openMutations(world, t)) === 0, 120000);
  let end = '';
  return eventually(
    'the store rests',
    async () => {
      const { watermark } = await world.api.get('/identities?limit=1');
      const now = `${watermark} ${(await world.api.get('/logs?limit=1')).body.total}`;
      const same = now === end;
      end = now;
      if (!same) await pause(1500);
      return same;
    },
    180000,
  );
}

/** At rest a new viewer's snapshot is what REST says. */
async function verifySnapshots(world) {
  for (const stream of world.streams) {
    if (!stream.checkSnapshot) continue;
    const v = new Viewer(world.suite.url, stream.path, { token: world.api.token, query: stream.query });
    try {
      const { data } = await v.event('snapshot');
      if (stream.path === '/stream') await v.wait('histogram', (f) => f.data.type === 'histogram');
      await stream.checkSnapshot(world.api, data, v.frames);
    } finally {
      v.cut();
    }
  }
}

async function kill(world) {
  const end = Date.now() + SECONDS * 1000;
  while (Date.now() < end && !world.over) {
    await pause(KILL_PAUSE_MS[0] + world.rng.below(KILL_PAUSE_MS[1]));
    const name = world.rng.pick(world.processes);
    if (name === SECOND) {
      await world.second.stop('SIGKILL');
      world.second = await Gateway.start(world.suite, {}, world.second.port);
    } else await world.suite.kill(name);
    world.kills++;
  }
}

for (const bus of [true, false]) {
  test(`${VIEWERS} viewers for ${SECONDS} s, ${bus ? 'with' : 'without'} the bus`, async (t) => {
    const suite = await Suite.start({ DECNET_SSE_MAX_PER_USER: '0', DECNET_BUS_ENABLED: String(bus), DECNET_LOG_LEVEL: 'warning' });
    let world;
    t.after(async () => {
      await world?.second?.stop();
      await suite.stop();
    });
    const rng = random();
    t.diagnostic(`seed ${rng.seed}`);
    const counts = { accepted: 0, requests: 0, decisions: 0, kills: 0, compared: 0, histories: 0, histograms: 0 };
    world = { suite, rng, ...counts, folds: new Set(), settling: false, over: false, ...(await setUp(suite)) };
    world.began = Date.now();
    world.second = await Gateway.start(suite);
    world.processes = [...PROCESSES.filter((name) => suite.pid(name)), SECOND];

    const watchers = Array.from({ length: VIEWERS }, (_, i) => new Watcher(world, i));
    // The first failure of any of them ends the test at once.
    const watching = Promise.all(watchers.map((w) => w.run()));
    const writing = Promise.all([
      ...world.topologies.map((topology, i) => write(world, topology, i)),
      ...Array.from({ length: ATTACKERS }, (_, i) => attack(world, i)),
      decide(world),
    ]);
    const killing = (async () => {
      await kill(world);
      world.settling = true;
      await writing;
      await settle(world);
      // Who is behind is fed now; a history without a snapshot yet gets one.
      for (const w of watchers) await eventually(`${w} has everything`, () => w.hasEverything(), 30000);
      world.over = true;
    })();
    try {
      await Promise.all([watching, killing, writing]);
    } finally {
      world.settling = true;
      world.over = true;
    }

    for (const w of watchers) await w.verify(Number.MAX_SAFE_INTEGER);
    for (const w of watchers) await w.verifyFold();
    await verifySnapshots(world);
    for (const key of Object.keys(counts)) assert.ok(world[key] > 0, key);
    assert.deepEqual([...world.folds].sort(), ['AttackerStream', 'IdentityStream', 'TopologyStream']);
    const lives = watchers.reduce((n, w) => n + w.lives, 0);
    t.diagnostic(
      `${world.accepted} mutations, ${world.requests} requests, ${world.decisions} decisions, ${world.kills} kills, ` +
        `${lives} connections, ${world.histories} histories, ${world.compared} rows and ${world.histograms} histograms compared, folds of ${[...world.folds].join(', ')}`,
    );
  });
}
