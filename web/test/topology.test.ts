// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Frame } from '../src/fold/frame';
import { TopologyFold } from '../src/fold/topology';
import type { Mutation } from '../src/types';
import { decky, edge, frame, lan, mutation, onTopology, random, tid, topology } from './helpers';

function start(): TopologyFold {
  const fold = new TopologyFold();
  fold.snapshot({ watermark: 100, reason: 'connect', topology_id: tid, status: 'active', version: 3, in_flight: [] });
  fold.reset(
    {
      topology: topology(),
      lans: [lan('l1', 'dmz', { is_dmz: true }), lan('l2', 'inner')],
      deckies: [decky('d1', 'gate'), decky('d2', 'web')],
      edges: [edge('e1', 'd1', 'l1'), edge('e2', 'd2', 'l2')],
    },
    100,
  );
  return fold;
}

const queued = { mutation_id: 'm1', op: 'add_decky', payload: { name: 'x', lan: 'dmz' }, version: 4, requested_at: '2026-01-31T08:15:00.250Z' };

test('frames up to the watermark change nothing', () => {
  const fold = start();
  const before = JSON.stringify(fold.detail());

  for (const id of [1, 99, 100]) {
    assert.equal(fold.apply(onTopology(id, 'mutation.enqueued', queued)), false);
    assert.equal(fold.apply(onTopology(id, 'status', { status: 'failed', state: 'failed', from: 'active', reason: null })), false);
  }
  assert.equal(JSON.stringify(fold.detail()), before);
  assert.deepEqual(fold.queue, []);
});

test('a mutation goes through the queue, and its changes into the rows', () => {
  const fold = start();
  const row = decky('d3', 'x', { state: 'pending', endpoints: [] });

  fold.apply(onTopology(101, 'mutation.enqueued', queued));
  assert.deepEqual(fold.queue, [mutation('m1', { payload: { name: 'x', lan: 'dmz' } })]);
  assert.equal(fold.topology?.version, 4);

  fold.apply(onTopology(102, 'mutation.applying', { mutation_id: 'm1', op: 'add_decky', payload: queued.payload, attempt: 1 }));
  assert.equal(fold.queue[0]?.state, 'applying');
  fold.apply(onTopology(103, 'mutation.applying', { mutation_id: 'm1', op: 'add_decky', payload: queued.payload, attempt: 2 }));
  assert.equal(fold.queue.length, 1);

  const reread = fold.apply(
    onTopology(104, 'mutation.applied', {
      mutation_id: 'm1',
      op: 'add_decky',
      applied_at: '2026-01-31T08:15:01.000Z',
      changes: [
        { kind: 'decky', action: 'created', id: 'd3', row },
        { kind: 'edge', action: 'created', id: 'e3', row: edge('e3', 'd3', 'l1') },
      ],
    }),
  );
  assert.equal(reread, false);
  assert.deepEqual(fold.queue, []);
  assert.deepEqual(fold.detail()?.deckies.map((d) => d.name), ['gate', 'web', 'x']);
  assert.equal(fold.detail()?.edges.length, 3);
  assert.equal(fold.topology?.version, 4);
});

test('the queue is kept as the server lists it: pending, then applying, each newest first', () => {
  const fold = start();
  const ids = (): string[] => fold.queue.map((m) => `${m.id} ${m.state}`);

  for (const [i, id] of ['m1', 'm2', 'm3'].entries())
    fold.apply(onTopology(101 + i, 'mutation.enqueued', { ...queued, mutation_id: id }));
  fold.apply(onTopology(110, 'mutation.applying', { mutation_id: 'm1', op: 'add_decky', payload: {}, attempt: 1 }));
  assert.deepEqual(ids(), ['m3 pending', 'm2 pending', 'm1 applying']);
  fold.apply(onTopology(111, 'mutation.cancelled', { mutation_id: 'm3', op: 'add_decky', reason: 'cancelled', version: 7, applied_at: '' }));
  fold.apply(onTopology(112, 'mutation.failed', { mutation_id: 'm1', op: 'add_decky', reason: 'Driver: no', version: 8, applied_at: '' }));
  assert.deepEqual(ids(), ['m2 pending']);
  assert.deepEqual(fold.finished.map((f) => [f.id, f.op, f.state, f.reason]), [['m1', 'add_decky', 'failed', 'Driver: no'], ['m3', 'add_decky', 'cancelled', 'cancelled']]);
  assert.equal(fold.topology?.version, 8);
});

test('status frames set status and its time', () => {
  const fold = start();
  fold.apply(onTopology(101, 'status', { state: 'degraded', status: 'degraded', from: 'active', reason: 'x' }, 1769847300.25));
  assert.equal(fold.topology?.status, 'degraded');
  assert.equal(fold.topology?.status_changed_at, '2026-01-31T08:15:00.250Z');
});

test('decky frames set state, services and configs', () => {
  const fold = start();
  const web = (): unknown => fold.deckies.get('d2');
  const about = { topology_id: tid, decky_uuid: 'd2', decky_name: 'web' };

  fold.apply(frame(101, 'decky.web.state', { ...about, state: 'failed', previous_state: 'running', last_error: 'port taken' }));
  assert.deepEqual(web(), decky('d2', 'web', { state: 'failed', last_error: 'port taken', endpoints: [] }));

  const service = { decky_name: 'web', topology_id: tid, service_name: 'http' };
  fold.apply(frame(102, 'decky.web.service_added', { ...service, services: ['ssh', 'http'] }));
  fold.apply(frame(103, 'decky.web.service_config_changed', { ...service, service_config: { title: 'x' }, recreated: true }));
  assert.deepEqual(fold.deckies.get('d2')?.services, ['ssh', 'http']);
  assert.deepEqual(fold.deckies.get('d2')?.decky_config.service_config, { http: { title: 'x' } });

  fold.apply(frame(104, 'decky.web.service_removed', { ...service, services: ['ssh'] }));
  assert.deepEqual(fold.deckies.get('d2')?.services, ['ssh']);
  assert.deepEqual(fold.deckies.get('d2')?.decky_config.service_config, {});
});

test('a decky of another name or with another uuid is not touched', () => {
  const fold = start();
  const before = JSON.stringify(fold.detail());

  fold.apply(frame(101, 'decky.web.state', { topology_id: tid, decky_uuid: 'other', decky_name: 'web', state: 'failed' }));
  fold.apply(frame(102, 'decky.none.state', { topology_id: tid, decky_name: 'none', state: 'failed' }));
  assert.equal(JSON.stringify(fold.detail()), before);
});

test('deleted rows go, and edges with them', () => {
  const fold = start();

  fold.apply(onTopology(101, 'changed', { version: 4, changes: [{ kind: 'decky', action: 'deleted', id: 'd2', row: null }] }));
  assert.deepEqual(fold.detail()?.edges.map((e) => e.id), ['e1']);
  fold.apply(onTopology(102, 'changed', { version: 5, changes: [{ kind: 'lan', action: 'deleted', id: 'l1', row: null }] }));
  assert.deepEqual(fold.detail()?.edges, []);
  assert.equal(fold.topology?.version, 5);
});

test('changes that did not fit, or are missing, ask for a read', () => {
  const fold = start();

  assert.equal(fold.apply(onTopology(101, 'changed', { version: 4, changes: null, refetch: true })), true);
  assert.equal(fold.apply(onTopology(102, 'mutation.applied', { mutation_id: 'm', op: 'x', applied_at: '', changes: null, refetch: true })), true);
  assert.equal(fold.topology?.version, 4);
});

test('rows and queue have a watermark each', () => {
  const fold = start();

  fold.apply(onTopology(101, 'mutation.enqueued', queued));
  // A read at 105 already has what 103 and 104 did to the rows; the queue still needs them.
  fold.reset({ topology: topology({ version: 9 }), lans: [], deckies: [], edges: [] }, 105);
  fold.apply(onTopology(103, 'mutation.applying', { mutation_id: 'm1', op: 'add_decky', payload: {}, attempt: 1 }));
  fold.apply(onTopology(104, 'mutation.applied', {
    mutation_id: 'm1', op: 'add_decky', applied_at: '',
    changes: [{ kind: 'decky', action: 'created', id: 'd9', row: decky('d9', 'old') }],
  }));
  assert.deepEqual(fold.queue, []);
  assert.equal(fold.deckies.size, 0);
  assert.equal(fold.topology?.version, 9);
});

test('frames without an id are shown, never folded', () => {
  const fold = start();
  const before = JSON.stringify(fold.detail());

  fold.apply(frame(null, 'decky.web.traffic', { topology_id: tid, decky_name: 'web', service: 'ssh', attacker_ip: '10.0.0.9', connections: 2, bytes_in: 5, bytes_out: 6 }));
  fold.apply(frame(null, 'topology.x.ext.note', { anything: 1 }));
  assert.equal(fold.traffic.get('web')?.attacker_ip, '10.0.0.9');
  assert.equal(JSON.stringify(fold.detail()), before);
});

test('deleted is remembered', () => {
  const fold = start();
  fold.apply(onTopology(101, 'deleted', { topology_id: tid, name: 'demo' }));
  assert.equal(fold.deleted, true);
});

/** A little server of one topology: it makes the frames, and can be read at any moment. */
class Model {
  seq = 100;
  version = 1;
  status = 'active';
  next = 0;
  deckies = new Map<string, ReturnType<typeof decky>>();
  queue: Mutation[] = [];
  frames: Frame[] = [];

  detail(): ReturnType<TopologyFold['detail']> {
    const all = [...this.deckies.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return structuredClone({
      topology: topology({ version: this.version, status: this.status, status_changed_at: '' }),
      lans: [],
      deckies: all,
      edges: [],
    });
  }

  emit(topic: string, payload: Record<string, unknown>): void {
    this.frames.push(structuredClone(frame(++this.seq, topic, payload)));
  }

  step(r: () => number): void {
    const pending = this.queue.filter((m) => m.state === 'pending');
    const applying = this.queue.find((m) => m.state === 'applying');
    const names = [...this.deckies.keys()];
    const pick = r();

    if (applying && pick < 0.4) {
      const name = String(applying.payload['name']);
      this.queue = this.queue.filter((m) => m !== applying);
      if (pick < 0.1) {
        this.version++;
        this.emit(`topology.${tid}.mutation.failed`, { mutation_id: applying.id, op: 'add_decky', reason: 'Driver: x', version: this.version, applied_at: '' });
        return;
      }
      const row = decky(`u-${name}`, name);
      this.deckies.set(name, row);
      this.emit(`decky.${name}.state`, { topology_id: tid, decky_uuid: row.uuid, decky_name: name, state: 'running', previous_state: 'pending', last_error: null });
      this.emit(`topology.${tid}.mutation.applied`, { mutation_id: applying.id, op: 'add_decky', applied_at: '', changes: [{ kind: 'decky', action: 'created', id: row.uuid, row }] });
    } else if (!applying && pending.length > 0 && pick < 0.6) {
      const oldest = pending[pending.length - 1] as Mutation;
      this.queue = [...pending.slice(0, -1), { ...oldest, state: 'applying' }];
      this.emit(`topology.${tid}.mutation.applying`, { mutation_id: oldest.id, op: oldest.op, payload: oldest.payload, attempt: 1 });
    } else if (names.length > 0 && pick < 0.8) {
      const name = names[Math.floor(r() * names.length)] as string;
      const row = this.deckies.get(name) as ReturnType<typeof decky>;
      if (r() < 0.5) {
        row.state = 'failed';
        row.last_error = 'gone';
        row.endpoints = [];
        this.emit(`decky.${name}.state`, { topology_id: tid, decky_uuid: row.uuid, decky_name: name, state: 'failed', previous_state: 'running', last_error: 'gone' });
      } else {
        this.deckies.delete(name);
        this.version++;
        this.emit(`topology.${tid}.changed`, { version: this.version, changes: [{ kind: 'decky', action: 'deleted', id: row.uuid, row: null }] });
      }
    } else if (this.queue.length < 6) {
      const id = `m${this.next++}`;
      this.version++;
      const row = mutation(id, { payload: { name: `d${this.next}` } });
      const waiting = this.queue.filter((m) => m.state === 'pending');
      this.queue = [row, ...waiting, ...this.queue.filter((m) => m.state === 'applying')];
      this.emit(`topology.${tid}.mutation.enqueued`, { mutation_id: id, op: row.op, payload: row.payload, version: this.version, requested_at: row.requested_at });
    }
  }
}

test('whenever it reads and joins, the fold equals the server', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const r = random(seed);
    const model = new Model();
    const fold = new TopologyFold();

    for (let i = Math.floor(r() * 40); i > 0; i--) model.step(r);
    fold.snapshot({ watermark: model.seq, reason: 'connect', topology_id: tid, status: model.status, version: model.version, in_flight: structuredClone(model.queue) });
    const sent = model.frames.length;
    for (let i = Math.floor(r() * 20); i > 0; i--) model.step(r);
    const read = { detail: model.detail(), mark: model.seq };
    for (let i = Math.floor(r() * 20); i > 0; i--) model.step(r);

    // Some frames arrive before the answer of the read does, some after.
    const frames = model.frames.slice(sent);
    const early = Math.floor(r() * (frames.length + 1));
    for (const f of frames.slice(0, early)) fold.apply(f);
    if (read.detail) fold.reset(read.detail, read.mark);
    for (const f of frames) assert.equal(fold.apply(f), false);
    // What came early was not folded into rows that were replaced: only frames above the read count.
    const expected = model.detail();
    assert.deepEqual(fold.detail(), expected, `seed ${seed}`);
    assert.deepEqual(fold.queue, model.queue, `seed ${seed}`);
  }
});
