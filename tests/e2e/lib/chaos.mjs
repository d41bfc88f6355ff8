// SPDX-License-Identifier: Apache-2.0
// Random mutations of small topologies, and the model of what they make.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { applyFrame, comparable, startFold } from './fold.mjs';
import { Follower } from './follower.mjs';
import { eventually } from './suite.mjs';

/** A blank topology, deployed. */
export async function network(api, name) {
  const { id } = await api.expect(201, 'POST', '/topologies/blank', { name });
  const at = `/topologies/${id}`;
  await api.expect(202, 'POST', `${at}/deploy`);
  await eventually(`${name} is active`, async () => (await api.get(at)).body.topology.status === 'active');
  return { id, at };
}

/** What a decky is, as far as the ops of this test say. */
const row = (services, lans) => ({ services, lans });

/** The model of a topology: its LANs and deckies, changed by ops that were applied. */
export class Model {
  constructor() {
    this.lans = new Set(['dmz']);
    this.deckies = new Map([['dmz-gateway', row(['ssh'], ['dmz'])]]);
  }

  apply(op, p) {
    const d = this.deckies.get(p.decky);
    if (op === 'add_lan') this.lans.add(p.name);
    else if (op === 'remove_lan') {
      this.lans.delete(p.name);
      for (const x of this.deckies.values()) x.lans = x.lans.filter((l) => l !== p.name);
    } else if (op === 'add_decky') this.deckies.set(p.name, row(p.services, [p.lan]));
    else if (op === 'remove_decky') this.deckies.delete(p.decky);
    else if (op === 'attach_decky') d.lans.push(p.lan);
    else if (op === 'detach_decky') d.lans = d.lans.filter((l) => l !== p.lan);
    else if (op === 'update_decky') d.services = p.services;
    else assert.equal(op, 'update_lan');
  }

  plain() {
    return { lans: [...this.lans].sort(), deckies: [...this.deckies].map(([name, d]) => [name, d.services, [...d.lans].sort()]).sort((a, b) => (a[0] < b[0] ? -1 : 1)) };
  }

  static of(detail) {
    const lan = Object.fromEntries(detail.lans.map((l) => [l.id, l.name]));
    const m = new Model();
    m.lans = new Set(detail.lans.map((l) => l.name));
    m.deckies = new Map(detail.deckies.map((d) => [d.name, row(d.services, detail.edges.filter((e) => e.decky_uuid === d.uuid).map((e) => lan[e.lan_id]))]));
    return m.plain();
  }
}

export function randomOp(rng, names, services) {
  const some = () => services.filter(() => rng.next() < 0.5);
  const decky = () => `d${rng.below(12)}`;
  const lan = () => rng.pick(['dmz', 'l0', 'l1', 'l2']);
  const roll = rng.next();
  if (roll < 0.35) return ['add_decky', { name: decky(), lan: lan(), services: some() }];
  if (roll < 0.55) return ['remove_decky', { decky: decky() }];
  if (roll < 0.7) return ['update_decky', { decky: decky(), services: some() }];
  if (roll < 0.78) return ['attach_decky', { decky: decky(), lan: lan() }];
  if (roll < 0.84) return ['detach_decky', { decky: decky(), lan: lan() }];
  if (roll < 0.92) return ['add_lan', { name: `l${rng.below(3)}` }];
  if (roll < 0.96) return ['remove_lan', { name: `l${rng.below(3)}` }];
  return ['update_lan', { name: lan(), x: names.count++ }];
}

/** Every row of the queue, oldest first. */
export async function wholeQueue(api, net) {
  const rows = [];
  for (;;) {
    const page = await api.expect(200, 'GET', `${net.at}/mutations?limit=500&offset=${rows.length}`);
    rows.push(...page.data);
    if (rows.length >= page.total) return rows.reverse();
  }
}

/** Follows the stream of a topology from what REST says now. */
export async function follow(api, net) {
  const first = await api.get(net.at);
  net.fold = startFold(first.body, first.watermark);
  net.follower = new Follower(api, `${net.at}/events`);
  net.following = net.follower.run();
  await eventually('the first snapshot', () => net.follower.viewer?.frames.some((f) => f.event === 'snapshot'));
}

/** Posts `count` ops that are accepted, whatever happens to the gateway meanwhile; gives their ids. */
export async function write(api, net, rng, count, services) {
  const accepted = new Set();
  const names = { count: 0 };
  while (accepted.size < count) {
    const [op, payload] = randomOp(rng, names, services);
    try {
      const res = await api.post(`${net.at}/mutations`, { op, payload });
      if (res.status === 202) accepted.add(res.body.mutation_id);
      else if (res.status >= 500 && res.status !== 503) throw new Error(`${res.status} ${JSON.stringify(res.body)}`);
    } catch (e) {
      if (/^5\d\d/.test(e.message)) throw e;
      await pause(50); // the gateway is away; whether it took the op the queue tells
    }
    if (rng.next() < 0.2) await pause(rng.below(40));
  }
  return accepted;
}

/** Waits for the end of the queue, brings a degraded topology back, and checks that the rows are what the applied ops make. */
export async function settle(api, net, accepted, counts) {
  await eventually('every mutation has ended', async () => (await wholeQueue(api, net)).every((m) => !['pending', 'applying'].includes(m.state)), 120000);
  // One more op brings a degraded topology back.
  await api.expect(202, 'POST', `${net.at}/mutations`, { op: 'update_lan', payload: { name: 'dmz', x: 1 } });
  await eventually('it is active', async () => {
    const rows = await wholeQueue(api, net);
    return rows.at(-1).state === 'applied' && (await api.get(net.at)).body.topology.status === 'active';
  }, 60000);
  const model = new Model();
  for (const m of await wholeQueue(api, net)) {
    counts[m.state] = (counts[m.state] ?? 0) + 1;
    accepted.delete(m.id);
    if (m.state === 'applied') model.apply(m.op, m.payload);
    else assert.match(m.reason, /^(Driver|Timeout|Conflict): /, JSON.stringify(m));
  }
  assert.equal(accepted.size, 0, 'none was lost');
  const { body } = await api.get(net.at);
  assert.deepEqual(Model.of(body), model.plain(), 'the rows are what the applied ops make');
}

/** Ends the following: what was folded is what REST says. */
export async function foldAgrees(api, net) {
  await eventually('nothing more comes', async () => {
    const n = net.follower.viewer.frames.length;
    await pause(300);
    return n === net.follower.viewer.frames.length && net.follower.viewer.frames.length > 0;
  });
  const rest = await api.get(net.at);
  net.follower.stop();
  await net.following;
  const ids = net.follower.rows.map((f) => f.id);
  for (let i = 1; i < ids.length; i++) assert.ok(ids[i] > ids[i - 1], 'ids rise strictly');
  for (const f of net.follower.rows) applyFrame(net.fold, f);
  const { topology, lan, decky, edge, queue } = net.fold;
  assert.deepEqual(comparable(topology, lan.values(), decky.values(), edge.values()), comparable(rest.body.topology, rest.body.lans, rest.body.deckies, rest.body.edges));
  assert.equal(queue.size, 0);
}
