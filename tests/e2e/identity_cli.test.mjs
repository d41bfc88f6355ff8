// SPDX-License-Identifier: Apache-2.0
// `decnet identity …`: what each command prints, what it refuses, and with which exit code.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { NOBODY, envelope, fits, int, maybe, num, str, time, uuid, value } from './lib/contract.mjs';
import { Suite, decnet, eventually, freePort } from './lib/suite.mjs';
import { arrive, endpoint, habits } from './lib/visits.mjs';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const TIME = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z';
let suite, admin, viewer, env, redis;
/** Two addresses of the same hands, and two of strangers. */
let same, strangers;

before(async () => {
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false' });
  suite.cli('demo');
  admin = await Api.admin(suite);
  viewer = await admin.user('analyst', 'viewer');
  env = { ...suite.env, DECNET_URL: suite.url, DECNET_TOKEN: admin.token };
  redis = await endpoint(admin, 'redis');
  same = [await arrive(admin, redis, '127.0.9.1', ...habits('mallory'))];
  same.push(await arrive(admin, redis, '127.0.9.2', ...habits('mallory')));
  strangers = [await arrive(admin, redis, '127.0.9.3', 'PING'), await arrive(admin, redis, '127.0.9.4', 'PING')];
  await eventually('the engine takes the two for one', async () => (await admin.get(`/attackers/${same[1].uuid}`)).body.identity_id === same[0].identity_id);
  await eventually('all visits are over and written down', async () => (await admin.get('/logs?search=event:disconnect')).body.total === 4);
});

after(async () => {
  await suite?.stop();
});

function run(args, { input, env: more = {} } = {}) {
  const r = spawnSync(decnet, args, { env: { ...env, ...more }, encoding: 'utf8', timeout: 60000, input: input ?? '' });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

function good(args, options) {
  const r = run(args, options);
  assert.equal(r.code, 0, `${args.join(' ').slice(0, 200)}: ${r.code} ${r.err}`);
  return r.out;
}

/** What `--json` prints, which is what the API answers. */
const json = (...args) => JSON.parse(good(['--json', 'identity', ...args]));
const lines = (text) => text.trimEnd().split('\n');

test('list: one line an identity, newest change first', async () => {
  const rest = (await admin.get('/identities')).body;
  assert.deepEqual(json('list'), rest);
  assert.equal(rest.total, 3);
  const shown = lines(good(['identity', 'list']));
  assert.deepEqual(shown.map((l) => l.slice(0, 36)), rest.data.map((i) => i.uuid));
  for (const l of shown) assert.match(l, new RegExp(`^${UUID} {2} +\\d+ observations  confidence \\d\\.\\d\\d  last seen ${TIME}$`));
  assert.match(shown.find((l) => l.startsWith(same[0].identity_id)), / 2 observations /);
  assert.equal(lines(good(['identity', 'list', '--limit', '1'])).length, 1);
  assert.deepEqual(json('list', '--limit=2').data, rest.data.slice(0, 2));
  assert.equal(good(['identity', 'list', '--limit', '1000']), good(['identity', 'list']));
  assert.equal(good(['identity', 'list'], { env: { DECNET_TOKEN: viewer.token } }), good(['identity', 'list']));
});

test('show: the row and what is known of it', async () => {
  const U = same[0].identity_id;
  assert.deepEqual(json('show', U), (await admin.get(`/identities/${U}`)).body);
  const text = good(['identity', 'show', U]);
  assert.match(text, new RegExp(`^${U} {2} +2 observations `));
  assert.match(text, new RegExp(`^ {2}first seen {11}${TIME}$`, 'm'));
  assert.match(text, /^ {2}c2_endpoints {9}mallory\.example:6380$/m);
  assert.equal(good(['identity', 'show', '--', U]), text);
});

test('observations: one line an address, latest first', async () => {
  const U = same[0].identity_id;
  const rest = (await admin.get(`/identities/${U}/observations`)).body;
  assert.deepEqual(json('observations', U), rest);
  const shown = lines(good(['identity', 'observations', U]));
  assert.deepEqual(shown.map((l) => l.slice(0, 36)), rest.data.map((a) => a.uuid));
  assert.deepEqual(shown.map((l) => /^\S+ {2}(\S+)/.exec(l)[1]).sort(), ['127.0.9.1', '127.0.9.2']);
  for (const l of shown) assert.match(l, new RegExp(`^${UUID} {2}\\S+ +\\d+ events  last seen ${TIME}$`));
  assert.deepEqual(lines(good(['identity', 'observations', U, '--limit', '1'])), shown.slice(0, 1));
});

test('evidence: log2 odds, strongest first', async () => {
  const U = same[0].identity_id;
  const rest = (await admin.get(`/identities/${U}/evidence`)).body;
  assert.deepEqual(json('evidence', U), rest);
  assert.ok(rest.total >= 1);
  const shown = lines(good(['identity', 'evidence', U]));
  assert.equal(shown.length, rest.data.length);
  for (const l of shown) assert.match(l, new RegExp(`^ *[+-]\\d+\\.\\d\\d {2}\\S+ +${UUID} {2}${UUID} {2}\\S`));
  assert.ok(shown.some((l) => /^ *\+\S+ {2}c2 .*mallory\.example:6380$/.test(l)), shown.join('\n'));
  const bits = rest.data.map((e) => Math.abs(e.weight));
  assert.deepEqual(bits, [...bits].sort((a, b) => b - a));
  assert.deepEqual(lines(good(['identity', 'evidence', U, '--limit', '1'])), shown.slice(0, 1));
  assert.equal(good(['identity', 'evidence', strangers[0].identity_id]), '', 'a lone one has none');
});

test('decisions: what the engine did and why, newest first', async () => {
  const U = same[0].identity_id;
  const rest = (await admin.get(`/identities/${U}/decisions`)).body;
  fits(rest, envelope({ seq: int, at: time, kind: value('formed', 'linked', 'moved', 'merged', 'unmerged'), identity_uuid: uuid, other_uuid: maybe(uuid), observation_uuid: maybe(uuid), via_uuid: maybe(uuid), score: maybe(num), evidence: maybe(str) }));
  assert.deepEqual(json('decisions', U), rest);
  assert.deepEqual(rest.data.map((d) => d.seq), rest.data.map((d) => d.seq).sort((a, b) => b - a));
  const first = rest.data.at(-1);
  assert.deepEqual([first.kind, first.identity_uuid, first.observation_uuid, first.via_uuid, first.score, first.evidence], ['formed', U, same[0].uuid, null, null, null]);
  const joined = rest.data.find((d) => d.score >= 2);
  assert.ok(['linked', 'moved', 'merged'].includes(joined.kind));
  assert.deepEqual([joined.observation_uuid, joined.via_uuid].sort(), same.map((s) => s.uuid).sort());
  assert.match(joined.evidence, /c2 \+\d\.\d\d mallory\.example:6380/);
  const shown = lines(good(['identity', 'decisions', U]));
  assert.equal(shown.length, rest.data.length);
  for (const l of shown) assert.match(l, new RegExp(`^${TIME}  (formed|linked|moved|merged) +[-+\\d.]+ +${UUID}  `));
  assert.deepEqual(lines(good(['identity', 'decisions', U, '--limit', '1'])), shown.slice(0, 1));
});

test('note: by argument and by standard input, always one line', async () => {
  const U = strangers[0].identity_id;
  assert.equal(good(['identity', 'note', U, 'a first word']), 'noted\n');
  assert.equal(good(['identity', 'note', U], { input: 'a second\nof two lines\r\n\n' }), 'noted\n');
  const answer = JSON.parse(good(['--json', 'identity', 'note', U, 'ä 𝄞 "quoted" %n']));
  assert.deepEqual(Object.keys(answer), ['uuid', 'notes']);
  const notes = lines(answer.notes);
  assert.deepEqual(notes.map((l) => l.replace(new RegExp(`^${TIME} admin: `), '')), ['a first word', 'a second of two lines', 'ä 𝄞 "quoted" %n']);
  assert.ok(good(['identity', 'show', U]).endsWith(`${answer.notes}\n`));
  assert.equal(good(['identity', 'note', U, '𝄞'.repeat(4096)]), 'noted\n', 'the longest there is');
});

test('merge and split: what is one, and what is not', async () => {
  const [a, b] = strangers.map((s) => s.identity_id);
  assert.equal(good(['identity', 'merge', a, b]), `${b} is of ${a} now\n`);
  assert.equal(json('show', b).uuid, a, 'who asks for the loser is shown the winner');
  assert.match(good(['identity', 'show', b]), new RegExp(`^${a}[\\s\\S]*^ {2}merged_from {10}${b}$`, 'm'));
  assert.match(good(['identity', 'evidence', a]), new RegExp(`^ {5}- {2}analyst +${UUID} {2}${UUID} {2}merge$`, 'm'));
  assert.equal(run(['identity', 'merge', a, b]).code, 5);
  assert.match(run(['identity', 'merge', a, b]).err, /identities are already one/);

  const fresh = good(['identity', 'split', a, strangers[1].uuid]).trim();
  assert.match(fresh, new RegExp(`^${UUID}$`));
  assert.deepEqual(json('observations', fresh).data.map((o) => o.uuid), [strangers[1].uuid]);
  assert.deepEqual(json('observations', a).data.map((o) => o.uuid), [strangers[0].uuid]);
  assert.match(good(['identity', 'evidence', fresh]), / {2}split$/m);
  const two = json('split', same[0].identity_id, same[0].uuid);
  assert.deepEqual([two.identity_uuid, two.observation_uuids], [same[0].identity_id, [same[0].uuid]]);
  assert.deepEqual(json('merge', two.identity_uuid, two.new_identity_uuid), { winner_uuid: two.identity_uuid, loser_uuid: two.new_identity_uuid });
});

test('bad input: the exit code, and a word on standard error', async () => {
  const U = same[0].identity_id;
  const away = { DECNET_URL: `http://127.0.0.1:${await freePort()}` };
  const denied = { DECNET_TOKEN: 'x.y.z' };
  const weak = { DECNET_TOKEN: viewer.token };
  const reads = ['show', 'observations', 'evidence', 'decisions'];
  const lists = ['list', 'observations', 'evidence', 'decisions'];
  const table = [
    [2, ['identity']], [2, ['identity', 'destroy', U]], [2, ['identity', 'list', U]], [2, ['identity', 'list', '--limit']], [2, ['identity', 'list', '--colour']], [2, ['identity', 'show', U, '--limit', '1']],
    ...reads.flatMap((v) => [[2, ['identity', v]], [2, ['identity', v, U, U]], [2, ['identity', v, '']], [2, ['identity', v, 'x'.repeat(600)]]]),
    ...lists.flatMap((v) => ['x', '', '-1', '1.5', '99999999999999999999'].map((n) => [2, ['identity', v, ...(v === 'list' ? [] : [U]), '--limit', n]])),
    ...lists.flatMap((v) => ['0', '1001'].map((n) => [1, ['identity', v, ...(v === 'list' ? [] : [U]), '--limit', n]])),
    ...reads.flatMap((v) => [NOBODY, 'x', '.', '..', '../config', 'events/../..', '%n', 'ä\n'].map((u) => [3, ['identity', v, u]])),
    [2, ['identity', 'note']], [2, ['identity', 'note', U]], [2, ['identity', 'note', U, '']], [2, ['identity', 'note', '', 'a']], [2, ['identity', 'split', '', U]], [2, ['identity', 'note', U, 'a', 'b']], [2, ['identity', 'note', U], { input: '\n\r\n' }],
    [2, ['identity', 'note', U], { input: 'a\0b' }], [2, ['identity', 'note', U], { input: Buffer.from([0x61, 0xff, 0xfe]) }], [2, ['identity', 'note', U], { input: 'x'.repeat(1 << 20) }],
    [1, ['identity', 'note', U, 'x'.repeat(4097)]], [1, ['identity', 'note', U], { input: 'x'.repeat(20000) }], [3, ['identity', 'note', NOBODY, 'a']], [3, ['identity', 'note', 'x', 'a']],
    [2, ['identity', 'split']], [2, ['identity', 'split', U]], [2, ['identity', 'split', U, ...Array(1001).fill(NOBODY)]],
    [1, ['identity', 'split', U, 'x']], [1, ['identity', 'split', U, NOBODY]], [1, ['identity', 'split', U, strangers[0].uuid]], [1, ['identity', 'split', U, same[0].uuid, NOBODY]],
    [3, ['identity', 'split', NOBODY, NOBODY]], [3, ['identity', 'split', 'x', NOBODY]], [5, ['identity', 'split', U, ...same.map((s) => s.uuid)]],
    [2, ['identity', 'merge']], [2, ['identity', 'merge', U]], [2, ['identity', 'merge', U, U, U]], [1, ['identity', 'merge', U, 'x']], [1, ['identity', 'merge', '', U]], [3, ['identity', 'merge', U, NOBODY]],
    [3, ['identity', 'merge', NOBODY, U]], [5, ['identity', 'merge', U, U]],
    ...[['list'], ['show', U], ['observations', U], ['evidence', U], ['decisions', U], ['note', U, 'a'], ['split', U, same[0].uuid], ['merge', U, NOBODY]].flatMap((a) => [[4, ['identity', ...a], { env: denied }], [6, ['identity', ...a], { env: away }]]),
    ...[['note', U, 'a'], ['split', U, same[0].uuid], ['merge', U, strangers[0].identity_id]].map((a) => [4, ['identity', ...a], { env: weak }]),
    [2, ['identity', 'replay']], [2, ['identity', 'replay', '/dev/null']], [2, ['identity', 'replay', '/dev/null', '--out']], [2, ['identity', 'replay', '/dev/null', '--out', '/tmp/x', '--batch', 'many']], [2, ['identity', 'replay', '/dev/null', '--out', '/tmp/x', '--batch', '70000']],
  ];
  const before = (await admin.get('/identities')).body;
  for (const [code, args, options] of table) {
    const r = run(args, options);
    assert.equal(r.code, code, `decnet ${args.join(' ').slice(0, 120)}: ${r.code} ${r.err}`);
    assert.match(r.err, /\S/, `decnet ${args.join(' ').slice(0, 120)}`);
    assert.equal(r.out, '', `decnet ${args.join(' ').slice(0, 120)}`);
  }
  assert.deepEqual((await admin.get('/identities')).body, before, 'nothing of that left a trace');
  assert.match(run(['identity', 'split', U, same[0].uuid, NOBODY]).err, /observation_uuids\.1: not an observation of this identity/);
  assert.match(run(['identity', 'show', NOBODY]).err, /Identity not found/);
  assert.match(run(['identity', 'split', U, ...same.map((s) => s.uuid)]).err, /split would leave the identity without observations/);
});

test('notes end somewhere', () => {
  const U = same[0].identity_id;
  const word = 'x'.repeat(4000);
  let r, n = 0;
  do r = run(['identity', 'note', U, word]);
  while (r.code === 0 && ++n < 20);
  assert.equal(r.code, 5, r.err);
  assert.ok(n >= 15, `${n} notes of 4000 bytes`);
});

test('--help at every level names every command', () => {
  const all = ['decisions', 'evidence', 'list', 'merge', 'note', 'observations', 'replay', 'show', 'split'];
  const text = good(['identity', '--help']);
  for (const word of all) assert.match(text, new RegExp(`identity ${word}\\b`));
  for (const word of all) assert.match(good(['identity', word, '--help']), new RegExp(`identity ${word}\\b`));
});

test('replay: into a new store only, and to files that can be written', () => {
  const dir = join(suite.dir, 'replayed');
  mkdirSync(dir);
  const stream = join(dir, 'stream');
  const [out, events, state] = ['out', 'events', 'state'].map((n) => join(dir, n));
  const mine = { env: { DECNET_STATE_DIR: state, DECNET_DB_URL: '' } };
  const row = (id, ip, c2) => `${JSON.stringify({ id, ip, ts: 1.7e9, ja4: 't13d1516h2_8daaf6152771_02713d6af862', hassh: null, c2: [c2], creds: [['mallory', '9f2c-one'], ['mallory', '9f2c-two']] })}\n`;
  writeFileSync(stream, row('a', '192.0.2.1', 'c2.example:1') + row('b', '192.0.2.2', 'c2.example:1') + row('c', '192.0.2.3', 'other.example:1').replace('t13d', 'q99z').replaceAll('mallory', 'eve'));
  const r = run(['identity', 'replay', stream, '--out', out, '--events', events, '--batch', '2'], mine);
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, /^3 lines in \d+\.\d{3} s, \d+ a second$/m);
  const [a, b, c] = lines(readFileSync(out, 'utf8')).map((l) => JSON.parse(l));
  assert.deepEqual([a.id, b.id, c.id], ['a', 'b', 'c']);
  assert.equal(a.cluster, b.cluster);
  assert.notEqual(a.cluster, c.cluster);
  assert.ok(lines(readFileSync(events, 'utf8')).map((l) => JSON.parse(l).type).includes('identity.formed'));
  for (const [args, options, why] of [
    [[join(dir, 'none'), '--out', out], mine, /none: No such file/], [[stream, '--out', join(dir, 'no', 'folder')], mine, /No such file/], [[stream, '--out', out], {}, /the store holds observations that are not of a replay/],
  ]) {
    const bad = run(['identity', 'replay', ...args], options);
    assert.equal(bad.code, 1, `${args.join(' ')}: ${bad.code} ${bad.err}`);
    assert.match(bad.err, why);
  }
  assert.ok(existsSync(out));
});
