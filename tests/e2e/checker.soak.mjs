// SPDX-License-Identifier: Apache-2.0
// Many viewers that join, stall, are cut and come back, while writers go at full speed and processes are killed: what each
// of them saw is what the journal holds above its snapshot, and a folded topology is what REST answers.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from './lib/api.mjs';
import { applyFrame, comparable, startFold } from './lib/fold.mjs';
import { random } from './lib/random.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const SECONDS = process.env.DECNET_SOAK ? 600 : 10; // with the bus, and as long again without
const VIEWERS = 30;
const ATTACKERS = 3;
const QUEUED_MOST = 20;
const LIVE_MOST = 12;
const PROCESSES = ['decnet-bus', 'decnet-decoy', 'decnet-resolver', 'decnet-mutator', 'decnet-api'];

/** One viewer's history: a snapshot, then rows over any number of connections. */
class Watcher {
  constructor(world, number) {
    this.world = world;
    this.number = number;
    this.rng = random(world.rng.seed + 1000 + number);
    this.lives = 0;
    this.cuts = 0;
    this.#forget();
  }

  #forget() {
    this.stream = this.world.streams[(this.number + this.lives) % this.world.streams.length];
    this.snapshot = null;
    this.rows = [];
    this.last = 0;
    this.fold = null;
  }

  /** Frames of the connection's life, in order; ids must rise from the first to the last of all lives. */
  #take() {
    for (const f of this.viewer.frames.slice(this.taken)) {
      this.taken++;
      if (f.id === undefined) continue;
      if (f.event === 'snapshot') {
        assert.equal(this.snapshot, null, `${this}: a second snapshot, ${f.data.reason}`);
        assert.equal(f.data.reason, 'connect', `${this}`);
        this.snapshot = f;
      } else if (f.event === 'resumed') {
        assert.ok(f.id >= this.last, `${this}: resumed#${f.id} after ${this.last}`);
        assert.equal(f.data.from, this.asked, `${this}`);
        assert.equal(f.data.replayed, this.rows.length - this.before, `${this}: replayed`);
      } else {
        assert.ok(this.snapshot, `${this}: a row before the snapshot`);
        assert.ok(f.id > this.last, `${this}: ${f.event}#${f.id} after ${this.last}`);
        this.rows.push({ event: f.event, id: f.id, data: f.data });
      }
      this.last = f.id;
    }
  }

  /** One connection: it may be cut at any byte, or not read for a while. */
  async #live() {
    this.taken = 0;
    this.asked = this.last;
    this.before = this.rows.length;
    const cutAt = this.rng.next() < 0.3 ? 200 + this.rng.below(40000) : Infinity;
    this.viewer = new Viewer(this.world.suite.url, this.stream.path, {
      token: this.world.api.token,
      query: this.stream.query,
      lastEventId: this.last || undefined,
      cutAt,
    });
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
    if (!this.fold && this.stream.topology && this.last === 0) await this.#startFold();
    const until = Date.now() + 100 + this.rng.below(2500);
    while (!this.viewer.ended && (Date.now() < until || this.world.settling) && !this.world.over) {
      await pause(20 + this.rng.below(80));
      if (this.world.settling || this.rng.next() > 0.1) continue;
      this.viewer.pause();
      await pause(this.rng.below(1500));
      this.viewer.resume();
    }
    this.viewer.cut();
    this.cuts++;
    assert.equal(this.viewer.broken, null, `${this}`);
    this.#take();
  }

  /** REST after the snapshot: its watermark is at or above it. */
  async #startFold() {
    try {
      await this.viewer.event('snapshot');
      const rest = await this.world.api.get(this.stream.rest);
      if (rest.status === 200) this.fold = startFold(rest.body, rest.watermark);
    } catch {
      // Cut or killed before it: this history goes without.
    }
  }

  async run() {
    await pause(this.rng.below(2000));
    while (!this.world.over) {
      await this.#live();
      if (this.world.over) break;
      if (this.snapshot && !this.world.settling && this.rng.next() < 0.15) {
        await this.verify();
        this.#forget();
      }
      await pause(this.rng.below(200));
    }
  }

  /** What the journal has for this stream above the snapshot, by a viewer that never lost anything. */
  async reference() {
    for (let attempt = 0; ; attempt++) {
      const v = new Viewer(this.world.suite.url, this.stream.path, {
        token: this.world.api.token,
        query: this.stream.query,
        lastEventId: this.snapshot.id,
      });
      try {
        const resumed = await v.event('resumed', { deadlineMs: 30000 });
        assert.ok(!v.frames.some((f) => f.event === 'snapshot'), `${this}: the journal does not reach back`);
        return v.rows().filter((f) => f.id <= resumed.id);
      } catch (e) {
        if (e instanceof assert.AssertionError || attempt === 50) throw e;
        await pause(100); // killed under it
      } finally {
        v.cut();
      }
    }
  }

  async verify({ whole = false } = {}) {
    const wanted = (await this.reference()).filter((f) => whole || f.id <= this.last);
    assert.deepEqual(
      this.rows.map((f) => f.id),
      wanted.map((f) => f.id),
      `${this}: ids above ${this.snapshot.id}`,
    );
    for (const [i, f] of wanted.entries()) assert.deepEqual(this.rows[i], { event: f.event, id: f.id, data: f.data }, `${this}`);
    this.world.compared += wanted.length;
    this.world.histories++;
  }

  verifyFold(rest) {
    if (!this.fold) return;
    for (const f of this.rows) applyFrame(this.fold, f);
    if (this.fold.refetch) return;
    const { topology, lan, decky, edge, queue } = this.fold;
    const mine = comparable(topology, lan.values(), decky.values(), edge.values());
    const theirs = comparable(rest.body.topology, rest.body.lans, rest.body.deckies, rest.body.edges);
    assert.deepEqual(mine, theirs, `${this}: folded from ${this.snapshot.id}`);
    // What was queued before REST was read is in no frame after it, so only its end was seen.
    assert.equal(queue.size, 0, `${this}: queue`);
    this.world.folds++;
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
  while (!world.settling) {
    const add = live.length < 2 || (live.length < LIVE_MOST && rng.next() < 0.5);
    const name = add ? `w${number}-${names++}` : live.splice(rng.below(live.length), 1)[0];
    const body = add
      ? { op: 'add_decky', payload: { name, lan: rng.pick(topology.lans), services: [rng.pick(['http', 'redis', 'telnet'])] } }
      : { op: 'remove_decky', payload: { decky: name } };
    try {
      const res = await world.api.post(`/topologies/${topology.id}/mutations`, body);
      if (res.status === 202) {
        world.accepted++;
        if (add) live.push(name);
      }
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

/** Requests from ever new addresses: each makes rows of attackers and, with a user agent seen before, of identities. */
async function attack(world, endpoint, number) {
  const rng = random(world.rng.seed + 100 + number);
  while (!world.settling) {
    const localAddress = `127.${1 + rng.below(90)}.${rng.below(256)}.${1 + rng.below(254)}`;
    await new Promise((good) => {
      const req = http.get(
        {
          host: endpoint.address,
          port: endpoint.port,
          path: `/${rng.pick(['', 'admin', '.env', 'wp-login.php'])}`,
          agent: false,
          localAddress,
          timeout: 5000,
          headers: { 'User-Agent': `probe/${rng.below(40)}` },
        },
        (res) => {
          res.resume();
          res.on('close', good);
          world.requests++;
        },
      );
      req.on('timeout', () => req.destroy());
      req.on('error', good);
      req.on('close', good);
    });
    await pause(rng.below(20));
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
  let endpoint;
  for (const { id } of [demo, made]) {
    const detail = await api.expect(200, 'GET', `/topologies/${id}`);
    topologies.push({ id, lans: detail.lans.map((l) => l.name) });
    endpoint ??= detail.deckies.flatMap((d) => d.endpoints).find((e) => e.service === 'http');
  }
  const streams = topologies.map((t) => ({ path: `/topologies/${t.id}/events`, rest: `/topologies/${t.id}`, topology: t.id }));
  streams.push({ path: '/identities/events' });
  streams.push({ path: '/events', query: { topics: 'topology.>,decky.>,identity.>,attacker.>,credential.>' } });
  return { api, topologies, streams, endpoint };
}

/** Resolves when every mutation has ended and the journal no longer grows. */
async function settle(world) {
  await world.suite.ready();
  for (const t of world.topologies) await eventually('the queue is empty', async () => (await openMutations(world, t)) === 0, 60000);
  let end = -1;
  await eventually(
    'the journal rests',
    async () => {
      const { watermark } = await world.api.get(world.streams[0].rest);
      const same = watermark === end;
      end = watermark;
      if (!same) await pause(1500);
      return same;
    },
    120000,
  );
  return end;
}

for (const bus of [true, false]) {
  test(`${VIEWERS} viewers, ${bus ? 'with' : 'without'} the bus`, async (t) => {
    const suite = await Suite.start({ DECNET_SSE_MAX_PER_USER: '0', DECNET_BUS_ENABLED: String(bus), DECNET_LOG_LEVEL: 'warning' });
    t.after(() => suite.stop());
    const rng = random();
    t.diagnostic(`seed ${rng.seed}`);
    const world = { suite, rng, accepted: 0, requests: 0, compared: 0, histories: 0, folds: 0, settling: false, over: false, ...(await setUp(suite)) };

    const watchers = Array.from({ length: VIEWERS }, (_, i) => new Watcher(world, i));
    // The first failure of any of them ends the test at once.
    const watching = Promise.all(watchers.map((w) => w.run()));
    const writing = Promise.all([
      ...world.topologies.map((topology, i) => write(world, topology, i)),
      ...Array.from({ length: ATTACKERS }, (_, i) => attack(world, world.endpoint, i)),
    ]);
    const killing = (async () => {
      const end = Date.now() + SECONDS * 1000;
      while (Date.now() < end) {
        await pause(1000 + rng.below(2500));
        await suite.kill(rng.pick(PROCESSES));
      }
      world.settling = true;
      await writing;
      const watermark = await settle(world);
      // Who is behind is fed now; a history without a snapshot yet gets one.
      for (const w of watchers)
        await eventually(`${w} has everything`, async () => {
          const seen = Math.max(w.last, w.viewer.lastId());
          if (seen >= watermark) return true;
          const v = new Viewer(suite.url, w.stream.path, { token: world.api.token, query: w.stream.query, lastEventId: seen || undefined });
          try {
            const f = await v.wait('a beginning', (x) => x.event === 'resumed' || x.event === 'snapshot');
            return seen > 0 && f.event === 'resumed' && f.data.replayed === 0;
          } finally {
            v.cut();
          }
        });
      world.over = true;
    })();
    try {
      await Promise.all([watching, killing, writing]);
    } finally {
      world.settling = true;
      world.over = true;
    }

    for (const w of watchers) await w.verify({ whole: true });
    for (const topology of world.topologies) {
      const rest = await world.api.get(`/topologies/${topology.id}`);
      for (const w of watchers) if (w.stream.topology === topology.id) w.verifyFold(rest);
    }
    assert.ok(world.compared > 0 && world.folds > 0 && world.requests > 0 && world.accepted > 0, JSON.stringify({ ...world, suite: 0, api: 0 }));
    const lives = watchers.reduce((n, w) => n + w.lives, 0);
    t.diagnostic(
      `${world.accepted} mutations, ${world.requests} requests, ${lives} connections, ${world.histories} histories, ${world.compared} rows compared, ${world.folds} folds`,
    );
  });
}
