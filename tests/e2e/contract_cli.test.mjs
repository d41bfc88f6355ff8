// SPDX-License-Identifier: Apache-2.0
// `decnet topology`, `mutate`, `status`, `version`: what they print, what they refuse, and with which exit code.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Api } from './lib/api.mjs';
import { NOBODY, ROW, detail, envelope, fits, listOf, object, str } from './lib/contract.mjs';
import { Suite, decnet, eventually, freePort } from './lib/suite.mjs';

let suite, admin, viewer, env, demo;

before(async () => {
  suite = await Suite.start();
  suite.cli('demo');
  admin = await Api.admin(suite);
  viewer = await admin.user('analyst', 'viewer');
  env = { ...suite.env, DECNET_URL: suite.url, DECNET_TOKEN: admin.token };
  demo = await admin.demoTopology();
});

after(async () => {
  await suite?.stop();
});

function run(args, { input, env: more = {} } = {}) {
  const r = spawnSync(decnet, args, { env: { ...env, ...more }, encoding: 'utf8', timeout: 60000, input: input ?? '' });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

/** The same beside others. */
async function start(args, { input, env: more = {} } = {}) {
  const child = spawn(decnet, args, { env: { ...env, ...more }, timeout: 60000 });
  let [out, err] = ['', ''];
  child.stdout.on('data', (d) => (out += d));
  child.stderr.on('data', (d) => (err += d));
  child.stdin.on('error', () => {}).end(input ?? '');
  const code = await new Promise((end) => child.once('close', end));
  return { code, out, err };
}

function good(...args) {
  const r = run(args);
  assert.equal(r.code, 0, `${args.join(' ')}: ${r.code} ${r.err}`);
  return r.out;
}

const json = (...args) => JSON.parse(good('--json', ...args));

test('bad input: the exit code, and a word on standard error', async () => {
  const T = demo.id;
  const closed = await freePort();
  const away = { DECNET_URL: `http://127.0.0.1:${closed}` };
  const denied = { DECNET_TOKEN: 'x.y.z' };
  const weak = { DECNET_TOKEN: viewer.token };
  const table = [
    // Usage.
    [2, ['topology']], [2, ['topology', 'destroy', T]], [2, ['topology', 'show']], [2, ['topology', 'show', T, 'more']], [2, ['topology', 'list', 'more']], [2, ['topology', 'list', '--status']],
    [2, ['topology', 'list', '--colour']], [2, ['topology', 'issues']], [2, ['topology', 'events']], [2, ['topology', 'events', T, '--limit', 'x']], [2, ['topology', 'events', T, '--limit', '-1']],
    [2, ['topology', 'create']], [2, ['topology', 'create', 'x']], [2, ['topology', 'create', 'x', '--depth', '1']], [2, ['topology', 'create', 'x', '--depth', 'x', '--branching', '1']],
    [2, ['topology', 'create', 'x', '--depth', '1', '--branching', '1', '--deckies', 'x']], [2, ['topology', 'create', 'x', '--depth', '1', '--branching', '1', '--deckies', '1-']],
    [2, ['topology', 'create', 'x', '--depth', '1', '--branching', '1', '--seed', '-1']], [2, ['topology', 'create', 'x', '--depth', '1', '--branching', '1', '--cross', 'x']],
    [2, ['topology', 'create', 'x', '--depth', '1', '--branching', '1', '--forward', '"1"']], [2, ['topology', 'blank']], [2, ['topology', 'blank', 'a', 'b']], [2, ['topology', 'deploy']],
    [2, ['topology', 'deploy', T, '--wait=x']], [2, ['topology', 'teardown', T, '--wait=-1']], [2, ['topology', 'delete']],
    [2, ['mutate']], [2, ['mutate', T]], [2, ['mutate', T, 'add_lan', 'name']], [2, ['mutate', T, 'add_lan', '=x']], [2, ['mutate', T, 'add_lan', 'name=a', 'name=b']], [2, ['mutate', T, 'add_lan', '--payload', '[]']],
    [2, ['mutate', T, 'add_lan', '--payload', '{']], [2, ['mutate', T, 'add_lan', '--payload', '-'], { input: 'no json' }], [2, ['mutate', T, 'add_lan', '--payload', '{"name":"a","name":"b"}']],
    [2, ['mutate', T, 'add_lan', 'name=a', '--expected-version', 'x']], [2, ['mutate', T, 'add_lan', 'name=a', '--wait=soon']], [2, ['mutate', T, '--list', '--cancel', NOBODY]], [2, ['mutate', T, 'add_lan', '--list']],
    [2, ['mutate', T, 'add_lan', 'name=a', '--state', 'pending']], [2, ['mutate', T, '--cancel']], [2, ['mutate', T, '--cancel', '']], [2, ['mutate', T, '--list', '--limit', 'x']],
    [2, ['status', 'more']], [2, ['version', 'more']], [2, ['version', '--colour']], [2, ['nothing']], [2, ['--colour', 'status']],
    // Refused.
    [1, ['topology', 'list', '--status', 'x&y']], [1, ['topology', 'events', T, '--limit', '0']], [1, ['topology', 'create', 'x', '--depth', '99', '--branching', '1']], [1, ['topology', 'create', '', '--depth', '1', '--branching', '1']],
    [1, ['topology', 'create', 'x', '--depth', '1', '--branching', '1', '--services', 'nothing']], [1, ['topology', 'create', 'x', '--depth', '1', '--branching', '1', '--host', 'nobody']], [1, ['topology', 'create', 'x', '--depth', '1', '--branching', '1', '--deckies', '3-2']],
    [1, ['topology', 'blank', 'x'.repeat(65)]], [1, ['mutate', T, 'nothing']], [1, ['mutate', T, 'add_lan']], [1, ['mutate', T, 'add_lan', 'name=-']], [1, ['mutate', T, 'add_lan', 'name=a', 'colour=1']], [1, ['mutate', T, 'add_decky', 'name=a', 'lan=dmz', 'archetype=nothing']],
    [1, ['mutate', T, '--list', '--state', 'x']], [1, ['mutate', T, '--list', '--limit', '501']], [1, ['mutate', T, 'add_lan', '--payload', '-'], { input: 'x'.repeat(1 << 21) }],
    // Not there.
    ...['show', 'issues', 'events', 'deploy', 'teardown', 'delete'].flatMap((v) => [[3, ['topology', v, NOBODY]], [3, ['topology', v, 'nobody']], [3, ['topology', v, '../config']]]),
    [3, ['mutate', NOBODY, 'add_lan', 'name=a']], [3, ['mutate', 'nobody', '--list']], [3, ['mutate', T, '--cancel', NOBODY]], [3, ['mutate', T, '--cancel', '../../x']],
    // Not allowed.
    ...[['topology', 'list'], ['topology', 'show', T], ['topology', 'show', 'demo'], ['mutate', T, '--list'], ['status'], ['topology', 'create', 'x', '--depth', '1', '--branching', '1']].map((a) => [4, a, { env: denied }]),
    ...[['topology', 'blank', 'x'], ['topology', 'deploy', T], ['topology', 'teardown', T], ['topology', 'delete', T], ['mutate', T, 'add_lan', 'name=a'], ['mutate', T, '--cancel', NOBODY], ['topology', 'create', 'x', '--depth', '1', '--branching', '1']].map((a) => [4, a, { env: weak }]),
    // Conflict.
    [5, ['topology', 'blank', 'demo']], [5, ['topology', 'deploy', T]], [5, ['topology', 'delete', T]], [5, ['mutate', T, 'remove_decky', 'decky=nobody']], [5, ['mutate', T, 'add_lan', 'name=a', '--expected-version', '99']], [5, ['topology', 'create', 'demo', '--depth', '1', '--branching', '1']],
    // Nobody answers.
    ...[['topology', 'list'], ['topology', 'show', T], ['mutate', T, 'add_lan', 'name=a'], ['status'], ['topology', 'create', 'x', '--depth', '1', '--branching', '1']].map((a) => [6, a, { env: away }]),
  ];
  const results = [];
  for (let i = 0; i < table.length; i += 16) results.push(...(await Promise.all(table.slice(i, i + 16).map(([, args, options]) => start(args, options)))));
  for (const [i, [code, args]] of table.entries()) {
    const r = results[i];
    assert.equal(r.code, code, `decnet ${args.join(' ').slice(0, 120)}: ${r.code} ${r.err}`);
    assert.match(r.err, /\S/, `decnet ${args.join(' ')}`);
    assert.equal(r.out, '', `decnet ${args.join(' ')}`);
  }
});

test('the words of a refusal', () => {
  assert.match(run(['mutate', demo.id, 'add_lan', 'name=-']).err, /Invalid request parameters\n {2}payload\.name: /);
  assert.match(run(['mutate', 'demo', 'remove_decky', 'decky=nobody']).err, /decky 'nobody' not found/);
  assert.match(run(['topology', 'show', 'nobody']).err, /no topology is named 'nobody'/);
});

test('version and status', () => {
  assert.match(good('version'), /^decnet \S+ \(.*\)\nservices: http redis snmp telnet\n$/);
  const v = json('version');
  fits(v, { version: str, compiler: str, build: str, services: listOf(str) });
  const s = json('status');
  assert.deepEqual(Object.keys(s), ['health', 'workers', 'topologies']);
  fits(s.topologies, envelope(ROW.topology));
  assert.match(good('status'), /^health: healthy\n[\s\S]*workers:\n[\s\S]*topologies: 1\n .*demo\n$/);
});

test('topologies, from creation to deletion', async () => {
  const id = good('topology', 'create', 'made', '--depth', '2', '--branching', '2', '--deckies', '2-2', '--services', 'http,telnet', '--seed', '5', '--cross', '0.5', '--forward', '0').trim();
  const all = json('topology', 'show', 'made');
  fits(all, detail);
  assert.equal(all.topology.id, id);
  assert.ok(all.deckies.every((d) => d.services.join() === 'http,telnet') && all.edges.every((e) => !e.forwards_l3));
  for (const l of all.lans.slice(1)) assert.equal(all.deckies.filter((d) => d.home_lan_id === l.id).length, 2);
  const row = json('topology', 'create', 'one each', '--depth', '1', '--branching', '1', '--deckies', '1');
  fits(row, ROW.topology);
  fits(json('topology', 'issues', 'made'), { issues: listOf(ROW.issue) });
  assert.match(good('topology', 'show', 'made'), /^made {2}pending {2}version 1\n/);
  assert.match(good('topology', 'deploy', 'made', '--wait=30'), /^active\n$/);
  assert.match(good('topology', 'list', '--status', 'active'), / made\n/);
  fits(json('topology', 'list', '--status', 'pending'), envelope(ROW.topology));
  assert.match(good('topology', 'teardown', id, '--wait'), /^torn_down\n$/);
  const events = json('topology', 'events', 'made');
  fits(events, listOf(ROW.statusEvent));
  assert.equal(events.length, 4);
  assert.match(good('topology', 'events', 'made', '--limit', '1'), /^\S+Z {2}tearing_down -> torn_down *\n$/);
  assert.equal(good('topology', 'delete', 'made'), 'deleted\n');
  good('topology', 'delete', 'one each');
  const blank = good('topology', 'blank', 'x & y/z').trim();
  assert.equal(json('topology', 'show', 'x & y/z').topology.id, blank);
  good('topology', 'delete', blank);
});

test('changes, their queue, and waiting for one of them', async () => {
  const T = 'demo';
  assert.match(good('mutate', T, 'add_lan', 'name=cli', 'x=5', '--wait'), /^[0-9a-f-]{36} {2}applied\n$/);
  assert.equal(json('topology', 'show', T).lans.find((l) => l.name === 'cli').x, 5);
  good('mutate', T, 'add_decky', 'name=c1', 'lan=cli', 'services=http,redis', '--wait=20');
  good('mutate', T, 'add_decky', 'name=c2', 'lan=cli', 'archetype=web-server', '--wait');
  assert.equal(run(['mutate', T, 'add_decky', 'name=c3', '--payload', '-', '--wait'], { input: '{"lan":"cli","services":[],"archetype":"web-server"}' }).code, 0);
  const deckies = Object.fromEntries(json('topology', 'show', T).deckies.map((d) => [d.name, d]));
  assert.deepEqual([deckies.c1.services, deckies.c2.services, deckies.c2.decky_config.archetype, deckies.c3.services], [['http', 'redis'], ['http'], 'web-server', []]);
  const enqueued = json('mutate', T, 'update_lan', 'name=cli', '--wait');
  assert.deepEqual(Object.keys(enqueued), ['mutation_id', 'state', 'version'], 'what the server said, unchanged');
  process.kill(suite.pid('decnet-mutator'), 'SIGSTOP');
  try {
    const [mid] = good('mutate', T, 'remove_decky', 'decky=c3').split(' ');
    const late = run(['mutate', T, 'remove_decky', 'decky=c2', '--wait=0']);
    assert.deepEqual([late.code, /still pending after 0 s/.test(late.err)], [1, true]);
    assert.match(good('mutate', T, '--list', '--state', 'pending'), new RegExp(`^\\S+ {2}pending +remove_decky *\n${mid} {2}pending +remove_decky *\n$`));
    fits(json('mutate', T, '--list', '--limit', '1'), envelope(ROW.mutation));
    assert.equal(good('mutate', T, '--cancel', mid), 'cancelled\n');
    assert.equal(run(['mutate', T, '--cancel', mid]).code, 5);
  } finally {
    process.kill(suite.pid('decnet-mutator'), 'SIGCONT');
  }
  await eventually('the queue is empty', () => good('mutate', T, '--list', '--state', 'pending') === '');
});

test('help at every level, and a line of the manual for each command', () => {
  const man = readFileSync(join(dirname(fileURLToPath(import.meta.url)), '../../man/decnet.1'), 'utf8');
  for (const verb of ['list', 'show', 'issues', 'events', 'create', 'blank', 'deploy', 'teardown', 'delete']) {
    assert.match(good('topology', verb, '--help'), new RegExp(`^usage: decnet topology ${verb}`));
    assert.match(man, new RegExp(`\\.It Cm topology .*\\b${verb}\\b`), verb);
  }
  for (const word of ['mutate', 'status', 'version']) {
    assert.match(good(word, '--help'), new RegExp(`^usage: decnet ${word}`));
    assert.match(man, new RegExp(`\\.It Cm ${word}\\b`), word);
  }
  assert.match(good('topology', '--help'), /topology create[\s\S]*topology events/);
  assert.match(good('--help'), /mutate/);
  fits(json('status').health, { status: str, components: object });
});
