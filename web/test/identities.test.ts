// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concerns, IdentitiesFold } from '../src/fold/identities';
import { frame, identity } from './helpers';

function start(): IdentitiesFold {
  const fold = new IdentitiesFold();
  const data = [
    identity('a', { updated_at: '2026-01-31T08:00:03.000Z' }),
    identity('b', { updated_at: '2026-01-31T08:00:02.000Z' }),
    identity('c', { updated_at: '2026-01-31T08:00:01.000Z' }),
  ];
  fold.reset({ total: 3, limit: 200, offset: 0, data }, 10);
  return fold;
}

const uuids = (fold: IdentitiesFold): string[] => fold.list().map((row) => row.uuid);

test('frames up to the watermark change nothing', () => {
  const fold = start();
  assert.equal(fold.apply(frame(10, 'identity.merged', { winner_uuid: 'a', loser_uuid: 'b', by: 'engine' })), false);
  assert.deepEqual(uuids(fold), ['a', 'b', 'c']);
});

test('a formed identity is listed once its row is told', () => {
  const fold = start();
  const { uuid, updated_at, ...changed } = identity('d', { observation_count: 2 });

  assert.equal(fold.apply(frame(11, 'identity.formed', { identity_uuid: 'd', observation_uuids: ['o1', 'o2'], by: 'engine' })), false);
  assert.deepEqual(uuids(fold), ['a', 'b', 'c']);
  assert.equal(fold.apply(frame(12, 'identity.updated', { identity_uuid: 'd', changed }, 1769847300.25)), false);
  assert.deepEqual(uuids(fold), ['d', 'a', 'b', 'c']);
  assert.deepEqual(fold.list()[0], identity('d', { observation_count: 2, updated_at: '2026-01-31T08:15:00.250Z' }));
  assert.equal(fold.total, 4);
  assert.equal(fold.members.get('o2'), 'd');
  assert.ok(uuid && updated_at);
});

test('an update moves a row to the front; one of an unknown row asks for a read', () => {
  const fold = start();

  assert.equal(fold.apply(frame(11, 'identity.updated', { identity_uuid: 'c', changed: { confidence: 0.9 } })), false);
  assert.deepEqual(uuids(fold), ['c', 'a', 'b']);
  assert.equal(fold.list()[0]?.confidence, 0.9);
  assert.equal(fold.apply(frame(12, 'identity.updated', { identity_uuid: 'zz', changed: { confidence: 0.9 } })), true);
});

test('merge and unmerge set and clear the pointer', () => {
  const fold = start();

  fold.apply(frame(11, 'identity.observation.linked', { identity_uuid: 'b', observation_uuid: 'o', by: 'engine' }));
  fold.apply(frame(12, 'identity.merged', { winner_uuid: 'b', loser_uuid: 'c', by: 'engine' }));
  fold.apply(frame(13, 'identity.merged', { winner_uuid: 'a', loser_uuid: 'b', by: 'engine' }));
  assert.deepEqual(uuids(fold), ['a']);
  assert.equal(fold.rows.get('c')?.merged_into_uuid, 'a');
  assert.equal(fold.members.get('o'), 'a');
  assert.equal(fold.total, 1);

  fold.apply(frame(14, 'identity.unmerged', { resurrected_uuid: 'b', former_winner_uuid: 'a', observation_uuids: ['o'], by: 'analyst' }, 1769847301));
  assert.deepEqual(uuids(fold), ['b', 'a']);
  assert.equal(fold.list()[0]?.updated_at, '2026-01-31T08:15:01.000Z');
  assert.equal(fold.members.get('o'), 'b');
  assert.equal(fold.total, 2);
  assert.equal(fold.apply(frame(15, 'identity.unmerged', { resurrected_uuid: 'q', former_winner_uuid: 'a', observation_uuids: null, by: 'engine' })), true);
});

test('the fold has a ceiling; the oldest change leaves first', () => {
  const fold = start();
  fold.trim(2);
  assert.deepEqual(uuids(fold), ['a', 'b']);
});

test('frames that concern an identity are known by any of its keys', () => {
  const mine = new Set(['a', 'm']);

  assert.equal(concerns(frame(1, 'identity.merged', { winner_uuid: 'x', loser_uuid: 'm' }), mine), true);
  assert.equal(concerns(frame(1, 'identity.unmerged', { resurrected_uuid: 'x', former_winner_uuid: 'a' }), mine), true);
  assert.equal(concerns(frame(1, 'identity.updated', { identity_uuid: 'x' }), mine), false);
});
