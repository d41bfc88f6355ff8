// SPDX-License-Identifier: Apache-2.0
// What analysts decide beside a running engine: told in order, kept by the engine, and still so after the resolver was killed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { IdentityFold } from './lib/folds.mjs';
import { journal } from './lib/kept.mjs';
import { random } from './lib/random.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, eventually } from './lib/suite.mjs';
import { arrive, attackerOf, endpoint, habits, visit } from './lib/visits.mjs';

let suite, admin, redis, viewer, fold;
/** Addresses in the order of their coming; their attacker rows by name. */
const who = {};
let addresses = 0;

before(async () => {
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false' });
  suite.cli('demo');
  admin = await Api.admin(suite);
  redis = await endpoint(admin, 'redis');
  fold = new IdentityFold(...(await all()));
  viewer = new Viewer(suite.url, '/identities/events', { token: admin.token });
  await viewer.event('snapshot');
});

after(async () => {
  viewer?.cut();
  await suite?.stop();
});

const all = async () => [await admin.get('/identities?limit=1000'), await admin.get('/attackers?limit=1000')];

async function come(name, ...commands) {
  who[name] = await arrive(admin, redis, `127.0.8.${++addresses}`, ...commands);
  return who[name];
}

/** Comes again and says `commands`; done when the resolver has written it down. */
async function again(name, ...commands) {
  const { ip, event_count } = await attackerOf(admin, who[name].ip);
  await visit(redis, ip, ...commands);
  await attackerOf(admin, ip, (row) => row.event_count >= event_count + 2 + commands.length);
}

const uuid = (name) => who[name].uuid;
const identity = async (name) => (await admin.expect(200, 'GET', `/attackers/${uuid(name)}`)).identity_id;
const members = async (name) => (await admin.expect(200, 'GET', `/identities/${await identity(name)}/observations?limit=1000`)).data.map((a) => a.uuid).sort();

/** What the viewer was told from here on, up to the journal's end. */
async function told(from) {
  const { watermark } = await admin.get('/identities');
  await eventually('the viewer has seen it', async () => viewer.lastId() >= watermark || (await quiet(viewer.lastId(), watermark)));
  return viewer.rows().filter((f) => f.id > from);
}

/** Whether the journal has nothing for this viewer in between: then no frame will come. */
async function quiet(from, upto) {
  return !(await journal(suite, from, upto)).some((row) => row.topic.startsWith('identity.'));
}

const now = async () => (await admin.get('/identities')).watermark;
const names = (frames) => frames.map((f) => f.event);
const payloads = (frames, event) => frames.filter((f) => f.event === event).map((f) => f.data.payload);

/** Only times of rows, nothing about who is who. */
function nothingNew(frames, what) {
  for (const f of frames) assert.deepEqual([f.event, Object.keys(f.data.payload.changed ?? {})], ['updated', ['last_seen_at']], `${what}: ${JSON.stringify(f.data)}`);
}

/** The same frames folded by one who came at the start give what REST says. */
async function foldsToRest() {
  await told(0);
  const seen = viewer.rows();
  for (const f of seen.slice(fold.taken ?? 0)) fold.apply(f);
  fold.taken = seen.length;
  const rest = await all();
  assert.deepEqual(fold.state(), fold.wanted(...rest));
}

test('a merge is told as merged and updated, and REST shows one identity', async () => {
  await come('a', 'PING');
  await come('b', 'PING');
  const [A, B] = [await identity('a'), await identity('b')];
  assert.notEqual(A, B);
  const from = await now();
  // The younger one is to win, although the engine would have chosen the older.
  assert.deepEqual(await admin.expect(200, 'POST', '/identities/merge', { winner_uuid: B, loser_uuid: A }), { winner_uuid: B, loser_uuid: A });
  const frames = await told(from);
  assert.deepEqual(names(frames), ['merged', 'updated']);
  assert.deepEqual(frames[0].data.payload, { winner_uuid: B, loser_uuid: A, by: 'analyst' });
  assert.equal(frames[1].data.payload.identity_uuid, B);
  assert.equal(frames[1].data.payload.changed.observation_count, 2);
  const row = await admin.expect(200, 'GET', `/identities/${A}`);
  assert.deepEqual([row.uuid, row.merged_from, row.observation_count, row.observation_count_live], [B, [A], 2, 2]);
  assert.deepEqual(await members('a'), [uuid('a'), uuid('b')].sort());
  assert.equal(await identity('a'), B);
  const [why] = (await admin.expect(200, 'GET', `/identities/${B}/evidence`)).data;
  assert.deepEqual([[why.a, why.b].sort(), why.signal, why.value, why.weight], [[uuid('a'), uuid('b')].sort(), 'analyst', 'merge', null]);
  await foldsToRest();
});

test('the engine obeys: later visits of both change times only', async () => {
  const from = await now();
  await again('a', 'PING');
  await again('b', 'PING');
  nothingNew(await told(from), 'after a merge');
  await foldsToRest();
});

test('a split is told as unlinked for each, formed and updated, and REST shows two', async () => {
  for (const name of ['c', 'd', 'e']) await come(name, ...habits('trudy'));
  await eventually('the engine takes the three for one', async () => (await members('c')).length === 3);
  const C = await identity('c');
  const from = await now();
  const answer = await admin.expect(201, 'POST', `/identities/${C}/split`, { observation_uuids: [uuid('d'), uuid('e'), uuid('d')] });
  const D = answer.new_identity_uuid;
  assert.deepEqual(answer, { identity_uuid: C, new_identity_uuid: D, observation_uuids: [uuid('d'), uuid('e')] });
  const frames = await told(from);
  assert.deepEqual(names(frames), ['observation.unlinked', 'observation.unlinked', 'formed', 'updated', 'updated']);
  assert.deepEqual(payloads(frames, 'observation.unlinked'), ['d', 'e'].map((n) => ({ identity_uuid: C, observation_uuid: uuid(n), by: 'analyst' })));
  assert.deepEqual(payloads(frames, 'formed'), [{ identity_uuid: D, observation_uuids: [uuid('d'), uuid('e')], by: 'analyst' }]);
  const rows = Object.fromEntries(payloads(frames, 'updated').map((p) => [p.identity_uuid, p.changed]));
  assert.deepEqual([rows[C].observation_count, rows[D].observation_count], [1, 2]);
  assert.equal(Object.keys(rows[D]).length, Object.keys((await admin.get('/identities')).body.data[0]).length, 'the whole row');
  assert.deepEqual(await members('c'), [uuid('c')]);
  assert.deepEqual(await members('d'), [uuid('d'), uuid('e')].sort());
  assert.ok((await admin.expect(200, 'GET', `/identities/${D}/evidence`)).data.some((e) => e.signal === 'analyst' && e.value === 'split' && e.weight === null));
  await foldsToRest();
});

test('the engine obeys: what they have in common does not join them again', async () => {
  const from = await now();
  for (const name of ['c', 'd', 'e']) await again(name, ...habits('trudy'));
  const [c, d] = [await identity('c'), await identity('d')];
  assert.notEqual(c, d);
  // One more of these hands: it goes to one side, and joins nobody.
  await come('f', ...habits('trudy'));
  await again('f', 'PING');
  assert.ok([c, d, who.f.identity_id].includes(await identity('f')));
  const frames = await told(from);
  assert.notEqual(await identity('c'), await identity('d'));
  for (const p of payloads(frames, 'merged')) assert.notDeepEqual([p.winner_uuid, p.loser_uuid].sort(), [c, d].sort());
  await foldsToRest();
});

test('kill -9 of the resolver: a restart says nothing, and decisions stay', async () => {
  const [before] = await all();
  const from = await now();
  await suite.kill('decnet-resolver');
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await again(name, 'PING');
  nothingNew(await told(from), 'after a restart');
  const [then] = await all();
  const still = (list) => list.body.data.map(({ last_seen_at: _l, updated_at: _u, ...row }) => row).sort((x, y) => (x.uuid < y.uuid ? -1 : 1));
  assert.deepEqual(still(then), still(before));
  assert.notEqual(await identity('c'), await identity('d'));
  assert.equal(await identity('a'), await identity('b'));
  await foldsToRest();
});

test('killed in the moment of a decision, which is whole or not at all', async () => {
  for (let round = 0; round < 4; round++) {
    const from = await now();
    const [C, D] = [await identity('c'), await identity('d')];
    const call = C === D ? admin.post(`/identities/${C}/split`, { observation_uuids: [uuid('d'), uuid('e')] }) : admin.post('/identities/merge', { winner_uuid: C, loser_uuid: D });
    const seen = again('c', 'PING');
    await suite.kill('decnet-resolver');
    const { status } = await call;
    assert.equal(status, C === D ? 201 : 200);
    await seen;
    const events = names(await told(from)).filter((n) => n !== 'updated');
    assert.deepEqual(events, C === D ? ['observation.unlinked', 'observation.unlinked', 'formed'] : ['merged'], `round ${round}`);
    // The later of two contrary decisions counts.
    assert.equal((await identity('c')) === (await identity('d')), C !== D, `round ${round}`);
    await foldsToRest();
  }
});

test('a decision while visitors keep coming: nothing is undone, and the fold is REST', async () => {
  const names2 = Array.from({ length: 8 }, (_, i) => `g${i}`);
  await Promise.all(names2.map((n) => come(n, ...habits('peggy'))));
  await eventually('the engine takes the eight for one', async () => (await members('g0')).length === 8);
  const G = await identity('g0');
  const busy = Promise.all(names2.map(async (n) => {
    for (let i = 0; i < 5; i++) await again(n, ...habits('peggy'));
  }));
  const out = names2.slice(0, 3).map(uuid);
  const { new_identity_uuid } = await admin.expect(201, 'POST', `/identities/${G}/split`, { observation_uuids: out });
  await busy;
  for (const n of names2) assert.equal(out.includes(uuid(n)), (await members(n)).every((m) => out.includes(m)), n);
  await suite.kill('decnet-resolver');
  const from = await now();
  await again('g7', 'PING');
  nothingNew(await told(from), 'after all that');
  assert.deepEqual((await admin.expect(200, 'GET', `/identities/${new_identity_uuid}/observations`)).data.map((a) => a.uuid).sort(), [...out].sort());
  await foldsToRest();
});

// The engine hears of each decision at the next visit.
test('decisions at random, contrary ones and chains of them: the engine has nothing to add', async (t) => {
  const rng = random();
  t.diagnostic(`DECNET_SEED=${rng.seed}`);
  const crowd = Array.from({ length: 7 }, (_, i) => `h${i}`);
  for (const n of crowd) await come(n, 'PING');
  for (let round = 0; round < 24; round++) {
    const from = await now();
    const [x, y] = [rng.pick(crowd), rng.pick(crowd)];
    const [X, Y, of] = [await identity(x), await identity(y), await members(x)];
    let what = `round ${round}: `;
    if (X !== Y) {
      what += `merge ${x} ${y}`;
      await admin.expect(200, 'POST', '/identities/merge', { winner_uuid: X, loser_uuid: Y });
    } else if (of.length > 1) {
      const out = of.filter((_, i) => i > 0 && rng.next() < 0.5);
      if (!out.length) out.push(of[rng.below(of.length)]);
      what += `split ${out.length} of ${of.length}`;
      await admin.expect(201, 'POST', `/identities/${X}/split`, { observation_uuids: out });
    }
    const [before] = await all();
    await again(rng.pick(crowd), 'PING');
    const frames = (await told(from)).filter((f) => f.data.payload.by === 'engine');
    assert.deepEqual(frames.map((f) => [f.event, f.data.payload]), [], what);
    const who_is = (list) => list.body.data.map((r) => [r.uuid, r.observation_count, r.confidence]).sort();
    assert.deepEqual(who_is((await all())[0]), who_is(before), what);
    await foldsToRest();
  }
});
