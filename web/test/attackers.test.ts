// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttackersFold } from '../src/fold/attackers';
import { LogsFold, logRowsMax } from '../src/fold/logs';
import type { LogRow } from '../src/types';
import { attacker, frame } from './helpers';

function start(): AttackersFold {
  const fold = new AttackersFold();
  const data = [attacker('a', '10.0.0.1', { identity_id: 'i1' }), attacker('b', '10.0.0.2', { identity_id: 'i2', last_seen: '2026-01-31T07:00:00.000Z' })];
  fold.reset({ total: 2, limit: 200, offset: 0, data }, 10);
  return fold;
}

const seen = {
  attacker_uuid: 'b', attacker_ip: '10.0.0.2', topology_id: 't', decky: 'web', service: 'ssh', event_type: 'command',
  first_seen: '2026-01-31T07:00:00.000Z', last_seen: '2026-01-31T09:00:00.000Z', event_count: 7, first: false,
  commands: [{ service: 'ssh', decky: 'web', command: 'id', timestamp: '2026-01-31T09:00:00.000Z' }],
};

test('a new observation moves its attacker to the front', () => {
  const fold = start();

  assert.equal(fold.apply(frame(10, 'attacker.observed', seen)), false);
  assert.deepEqual(fold.list().map((a) => a.uuid), ['a', 'b']);
  assert.equal(fold.apply(frame(11, 'attacker.observed', seen)), false);
  const first = fold.list()[0];
  assert.equal(first?.uuid, 'b');
  assert.equal(first?.event_count, 7);
  assert.deepEqual(first?.commands, seen.commands);
  assert.equal(first?.updated_at, '2026-01-31T08:15:00.250Z');
});

test('commands that were too many ask for a read', () => {
  assert.equal(start().apply(frame(11, 'attacker.observed', { ...seen, commands: null })), true);
});

test('new commands come in front, newest first, two hundred at most', () => {
  const fold = start();
  const commands = Array.from({ length: 60 }, (_, i) => ({ service: 'ssh', decky: 'web', command: `c${i}`, timestamp: `2026-01-31T09:00:${String(i).padStart(2, '0')}.000Z` }));

  for (let i = 0; i < 5; i++) fold.apply(frame(11 + i, 'attacker.observed', { ...seen, commands }));
  const row = fold.rows.get('b');
  assert.equal(row?.commands.length, 200);
  assert.equal(row?.commands[0]?.command, 'c59');
});

test('a first observation makes the row and asks for the rest, the score adds to it', () => {
  const fold = start();

  assert.equal(fold.apply(frame(11, 'attacker.observed', { ...seen, attacker_uuid: 'n', attacker_ip: '10.0.0.9', first: true, commands: [] })), true);
  assert.equal(fold.apply(frame(12, 'attacker.scored', {
    attacker_uuid: 'n', attacker_ip: '10.0.0.9', event_count: 7, service_count: 1, decky_count: 1, bounty_count: 0, credential_count: 0,
    is_traversal: false, changed: { services: ['ssh'], deckies: ['web'], service_activity: { interacted: [], scanned: ['ssh'] } },
  })), false);
  assert.equal(fold.apply(frame(13, 'identity.formed', { identity_uuid: 'i9', observation_uuids: ['n'], by: 'engine' })), false);
  assert.deepEqual(fold.rows.get('n'), attacker('n', '10.0.0.9', {
    identity_id: 'i9', first_seen: seen.first_seen, last_seen: seen.last_seen, event_count: 7, updated_at: '2026-01-31T08:15:00.250Z',
  }));
  assert.equal(fold.total, 3);
});

test('an unknown attacker asks for a read', () => {
  const fold = start();
  assert.equal(fold.apply(frame(11, 'attacker.observed', { ...seen, attacker_uuid: 'n' })), true);
  assert.equal(fold.apply(frame(12, 'attacker.scored', { attacker_uuid: 'n' })), true);
  assert.equal(fold.apply(frame(13, 'attacker.session.started', { attacker_uuid: 'n' })), false);
});

test('fingerprints are added once; a change of value is a rotation', () => {
  const fold = start();
  const print = { attacker_uuid: 'b', primitive: 'ssh.hassh', value: 'v1', confidence: 1, source: 'ssh', ts: '2026-01-31T09:00:00.000Z', previous: null, rotation_count: 0 };

  fold.apply(frame(11, 'attacker.fingerprinted', print));
  fold.apply(frame(12, 'attacker.fingerprinted', print));
  assert.equal(fold.rows.get('b')?.fingerprints.length, 1);
  assert.equal(fold.rows.get('b')?.last_rotation_at, null);
  fold.apply(frame(13, 'attacker.fingerprinted', { ...print, value: 'v2', previous: 'v1', rotation_count: 1, ts: '2026-01-31T09:00:05.000Z' }));
  assert.equal(fold.rows.get('b')?.rotation_count, 1);
  assert.equal(fold.rows.get('b')?.last_rotation_at, '2026-01-31T09:00:05.000Z');
});

test('identity frames move the identity of rows', () => {
  const fold = start();
  const of = (uuid: string): string | null | undefined => fold.rows.get(uuid)?.identity_id;

  fold.apply(frame(11, 'identity.merged', { winner_uuid: 'i1', loser_uuid: 'i2', by: 'engine' }));
  assert.equal(of('b'), 'i1');
  fold.apply(frame(12, 'identity.unmerged', { resurrected_uuid: 'i2', former_winner_uuid: 'i1', observation_uuids: ['b'], by: 'engine' }));
  assert.equal(of('b'), 'i2');
  fold.apply(frame(13, 'identity.observation.unlinked', { identity_uuid: 'i2', observation_uuid: 'b', by: 'analyst' }));
  assert.equal(of('b'), null);
  fold.apply(frame(14, 'identity.observation.linked', { identity_uuid: 'i1', observation_uuid: 'b', by: 'analyst' }));
  assert.equal(of('b'), 'i1');
  assert.equal(fold.apply(frame(15, 'identity.unmerged', { resurrected_uuid: 'i2', former_winner_uuid: 'i1', observation_uuids: null, by: 'engine' })), true);
});

function logRow(id: number): LogRow {
  return {
    id, timestamp: '2026-01-31T08:00:00.000Z', topology_id: null, decky: 'web', service: 'ssh', event_type: 'auth', attacker_ip: '10.0.0.1',
    attacker_uuid: 'a', raw_line: '', fields: '{}', msg: null, trace_id: null, span_id: null,
  };
}

test('log rows are a union by id, newest first, with a ceiling', () => {
  const fold = new LogsFold();

  fold.snapshot();
  fold.message({ type: 'logs', data: [logRow(11), logRow(12)] });
  fold.reset([logRow(11), logRow(10), logRow(9)]);
  assert.deepEqual(fold.list().map((r) => r.id), [12, 11, 10, 9]);

  fold.message({ type: 'logs', data: Array.from({ length: logRowsMax }, (_, i) => logRow(100 + i)) });
  assert.equal(fold.list().length, logRowsMax);
  assert.equal(fold.list()[0]?.id, 99 + logRowsMax);
  // An old row that comes again does not come back.
  fold.reset([logRow(9)]);
  assert.equal(fold.rows.has(9), false);

  fold.message({ type: 'stats', data: { total_logs: 5, unique_attackers: 1, active_deckies: 2, deployed_deckies: 3 } });
  fold.message({ type: 'histogram', data: [{ time: '2026-01-31T08:00:00.000Z', count: 5 }] });
  fold.message(null);
  fold.message({ type: 'unknown' });
  assert.equal(fold.stats?.total_logs, 5);
  assert.equal(fold.histogram.length, 1);
  fold.snapshot();
  assert.deepEqual(fold.list(), []);
});
