// SPDX-License-Identifier: Apache-2.0
// What a viewer, a guest of the bus and a crowd of readers try on event streams: to see more than they may, to make a stream lie, to use them up.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from './lib/api.mjs';
import { BusPeer } from './lib/bus.mjs';
import { Metrics } from './lib/metrics.mjs';
import { descriptors, rssMiB, sanitized } from './lib/proc.mjs';
import { Raw } from './lib/raw.mjs';
import { Viewer } from './lib/sse.mjs';
import { eventually, freePort, Suite } from './lib/suite.mjs';

const ALL = 'topology.>,decky.>,identity.>,attacker.>,credential.>,system.*.health,system.bus.health,system.bus.dropped';
let suite, metrics, admin, viewer, demo;

before(async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  suite = await Suite.start({ DECNET_METRICS_LISTEN: listen, DECNET_LIMITER_ENABLED: 'false', DECNET_SSE_MAX_PER_USER: '20' });
  metrics = new Metrics(listen);
  suite.cli('demo');
  admin = await Api.admin(suite);
  viewer = await admin.user('analyst', 'viewer');
  demo = await admin.demoTopology();
  await eventually('the demo is active', async () => (await admin.get(`/topologies/${demo.id}`)).body.topology.status === 'active');
});

after(async () => {
  await suite?.stop();
});

const open = (path, options = { token: viewer.token }) => new Viewer(suite.url, path, options);

async function guest(connect = {}) {
  const p = new BusPeer({ path: `${suite.dir}/bus.sock` });
  p.say(`CONNECT ${JSON.stringify({ verbose: false, name: 'stranger', ...connect })}\r\nPING\r\n`);
  await p.said('PONG\r\n');
  return p;
}

const envelope = (topic, payload, more = {}) => JSON.stringify({ v: 1, id: '0'.repeat(32), topic, type: 'x', ts: 1769847300.25, payload, ...more });

test('role leakage: a stream takes no pattern that reaches what REST keeps from viewers', async () => {
  for (const topics of ['system.>', 'system.*.control', 'system.api.control', 'system.mutator.control', 'system.log', '>', '*', '*.>', '*.x', '*.*.control', 'ext.>', '_INBOX.>', 'system', 'system.*', 'system.*.*', 'system.bus.*', 'system.>.health', 'systemx.a', 'identityx.>', 'users.>', '$SYS.>', 'identity.>,system.api.control', 'identity.>, system.log', '']) {
    for (const who of [viewer, admin]) {
      const res = await who.get(`/events?topics=${encodeURIComponent(topics)}`);
      assert.equal(res.status, 422, `${topics} as ${who === admin ? 'an admin' : 'a viewer'}`);
      assert.equal(res.body.errors[0].field, 'query.topics');
    }
  }
  const twice = await viewer.get(`/events?topics=${encodeURIComponent('system.api.control')}&topics=${encodeURIComponent('system.log')}`);
  assert.equal(twice.status, 422, 'the last of two counts, and it is checked');
});

test('role leakage: what an admin does with users, workers and tokens is on no stream', async () => {
  const streams = [open(`/events?topics=${encodeURIComponent(ALL)}`), open('/identities/events'), open(`/topologies/${demo.id}/events`), open('/stream')];
  for (const v of streams) await v.event('snapshot');
  const before = streams.map((v) => v.frames.length);
  const secret = await admin.user('a-name-nobody-should-see', 'viewer');
  const { users } = await admin.expect(200, 'GET', '/config');
  const uuid = users.find((u) => u.username === 'a-name-nobody-should-see').uuid;
  await admin.expect(200, 'PUT', `/config/users/${uuid}/role`, { role: 'admin' });
  await admin.expect(200, 'PUT', `/config/users/${uuid}/reset-password`, { new_password: 'password-number-nine' });
  assert.equal((await admin.post('/workers/resolver/start')).status, 202);
  await admin.expect(200, 'DELETE', `/config/users/${uuid}`);
  assert.equal((await secret.get('/config')).status, 401);
  // Something that is shown comes after all of it.
  const lan = (await admin.get(`/topologies/${demo.id}`)).body.lans[0];
  await admin.expect(202, 'POST', `/topologies/${demo.id}/mutations`, { op: 'update_lan', payload: { name: lan.name, x: 4242 } });
  await streams[0].wait('the mutation', (f) => f.event.endsWith('mutation.applied'), { from: before[0] });
  await streams[2].wait('the mutation', (f) => f.event === 'mutation.applied', { from: before[2] });
  for (const v of streams) {
    const text = JSON.stringify(v.frames);
    for (const word of ['a-name-nobody-should-see', uuid, 'requested_by', 'password', 'analyst', 'control', admin.token.split('.')[2], viewer.token.split('.')[2]]) assert.ok(!text.includes(word), `${word} is on a stream`);
    v.cut();
  }
  assert.equal((await viewer.get('/config')).body.users, undefined, 'nor in what REST tells a viewer');
});

test('role leakage: an admin\'s stream and a viewer\'s are the same frames', async () => {
  const path = `/events?topics=${encodeURIComponent('topology.>,decky.>,identity.>,attacker.>,credential.>')}`;
  const [mine, his] = [open(path), open(path, { token: admin.token })];
  const [a, b] = [await mine.event('snapshot'), await his.event('snapshot')];
  const lan = (await admin.get(`/topologies/${demo.id}`)).body.lans[0];
  const { version } = await admin.expect(202, 'POST', `/topologies/${demo.id}/mutations`, { op: 'update_lan', payload: { name: lan.name, x: 7, y: 9 } });
  const done = (f) => f.event.endsWith('mutation.enqueued') && f.data.payload.version === version;
  await mine.wait('it', done);
  await his.wait('it', done);
  const from = Math.max(a.id, b.id);
  const rows = (v) => v.rows().filter((f) => f.id > from).map((f) => [f.event, f.id, JSON.stringify(f.data)]);
  const n = Math.min(rows(mine).length, rows(his).length);
  assert.ok(n >= 1);
  assert.deepEqual(rows(mine).slice(0, n), rows(his).slice(0, n));
  for (const v of [mine, his]) v.cut();
});

test('a guest of the bus cannot make a stream say what the store does not', async () => {
  const v = open(`/topologies/${demo.id}/events`);
  const all = open(`/events?topics=${encodeURIComponent('topology.>,identity.>,attacker.>,decky.>')}`);
  for (const s of [v, all]) await s.event('snapshot');
  const rejected = (await metrics.get('decnet_sse_bus_rejected_total')) ?? 0;
  const p = await guest();
  const say = (subject, text) => p.say(`PUB ${subject} ${text.length}\r\n${text}\r\n`);
  const mark = p.text.length;
  // Not its to say.
  for (const subject of [`topology.${demo.id}.status`, `topology.${demo.id}.mutation.applied`, 'identity.formed', 'identity.merged', 'attacker.observed', 'credential.captured', 'decky.a.state', 'system.api.control', 'system.api.health', 'system.bus.dropped']) say(subject, envelope(subject, { state: 'torn_down', status: 'torn_down' }));
  // Its own words: as a hint for a row that there is, for one that there is not, and as nonsense.
  const own = `topology.${demo.id}.ext.note`;
  for (const seq of [1, 2, 999999999, -1, 0, 1.5, '1', null, [], 9007199254740993]) say(own, envelope(own, { text: `seq ${seq}` }, { seq }));
  for (const text of ['', '{', '[]', '"x"', '{}', '{"payload":7}', '{"payload":[]}', '{"v":1,"payload":{"a":1},"payload":{"b":2}}', '\xff\xfe', `{"payload":{"a":"\0"}}`, `${'['.repeat(1000)}`, `{"payload":{"x":"${'y'.repeat(300000)}"}}`]) say(own, text);
  say(own, envelope(own, { text: 'a frame?\n\nevent: status\nid: 99999999\ndata: {"topic":"x"}\n\n', more: '\r\nid: 1\r\n' }));
  say(own, envelope(`topology.${demo.id}.status`, { text: 'another topic than the subject' }));
  say(own, envelope(own, { text: 'the last one' }));
  const heard = await p.since(mark);
  assert.equal(heard.split("-ERR 'Permissions Violation").length - 1, 10);
  const last = await v.wait('the last one', (f) => f.data?.payload?.text === 'the last one');
  assert.equal(last.event, 'ext.note');
  assert.equal(last.id, undefined, 'no id: it is no row');
  await all.wait('the last one', (f) => f.data?.payload?.text === 'the last one');
  for (const s of [v, all]) {
    assert.equal(s.broken, null, 'every frame is well formed');
    for (const f of s.frames.filter((x) => x.event.endsWith('ext.note'))) {
      assert.equal(f.id, undefined);
      assert.deepEqual(Object.keys(f.data), ['topic', 'type', 'ts', 'payload']);
      assert.equal(f.data.topic, own, 'the topic is the subject');
    }
    assert.ok(!s.frames.some((f) => /status|formed|merged|observed|captured|state$/.test(f.event)), s.summary());
  }
  assert.ok((await metrics.get('decnet_sse_bus_rejected_total')) > rejected, 'nonsense is counted');
  assert.equal((await viewer.get(`/topologies/${demo.id}`)).body.topology.status, 'active');
  p.cut();
  for (const s of [v, all]) s.cut();
});

test('a guest that floods the bus holds up no stream: rows still come, and memory is bounded', async () => {
  const v = open(`/topologies/${demo.id}/events`);
  await v.event('snapshot');
  const pid = suite.pid('decnet-api');
  const before = rssMiB(pid);
  const own = `topology.${demo.id}.ext.flood`;
  const floods = await Promise.all([guest(), guest()]);
  const text = envelope(own, { x: 'y'.repeat(900) });
  let flooding = true;
  const flood = floods.map(async (p) => {
    while (flooding) {
      const mark = p.text.length;
      p.say(Array.from({ length: 500 }, () => `PUB ${own} ${text.length}\r\n${text}\r\n`));
      await p.since(mark);
    }
  });
  const lan = (await admin.get(`/topologies/${demo.id}`)).body.lans[0];
  for (let i = 0; i < 5; i++) {
    const { mutation_id: id } = await admin.expect(202, 'POST', `/topologies/${demo.id}/mutations`, { op: 'update_lan', payload: { name: lan.name, x: i } });
    await v.wait(`mutation ${i}`, (f) => f.event === 'mutation.applied' && f.data.payload.mutation_id === id, { deadlineMs: 30000 });
  }
  flooding = false;
  await Promise.all(flood);
  if (!sanitized(pid)) assert.ok(rssMiB(pid) - before < 96, `${Math.round(rssMiB(pid) - before)} MiB more`);
  assert.equal(v.broken, null);
  for (const p of floods) p.cut();
  v.cut();
});

test('stream exhaustion: opening and cutting a thousand times leaves no slot, descriptor or viewer behind', async () => {
  const pid = suite.pid('decnet-api');
  const streams = async () => [...(await metrics.all())].filter(([k]) => k.startsWith('decnet_sse_streams{')).reduce((n, [, v]) => n + v, 0);
  await eventually('nobody watches', async () => (await streams()) === 0);
  const fds = descriptors(pid);
  const request = `GET /api/v1/identities/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${viewer.token}\r\n\r\n`;
  let refused = 0;
  for (let i = 0; i < 1000; i += 10) {
    const some = Array.from({ length: 10 }, () => new Raw(suite.port).send(request));
    await Promise.all(some.map(async (r, k) => {
      // Some leave before the answer, some after its head, some with a reset.
      if (k % 3 === 0) await r.opened;
      else await r.until('an answer', () => r.text.includes('\r\n\r\n'));
      refused += r.text.startsWith('HTTP/1.1 429');
      if (k % 2) r.socket.resetAndDestroy();
      else r.cut();
    }));
  }
  await eventually('all slots are free', async () => (await streams()) === 0 && descriptors(pid) <= fds + 4);
  const full = Array.from({ length: 20 }, () => open('/identities/events'));
  for (const v of full) assert.equal(await v.opened, 200, `after ${refused} refusals`);
  assert.equal((await viewer.get('/identities/events')).status, 429);
  for (const v of full) v.cut();
});

test('stream exhaustion: a viewer that talks is closed, one that never reads is closed and counted, and others do not notice', async () => {
  const other = open(`/topologies/${demo.id}/events`);
  await other.event('snapshot');
  const stalled = (await metrics.get('decnet_sse_closed_total{reason="stalled"}')) ?? 0;
  const request = `GET /api/v1/topologies/${demo.id}/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${viewer.token}\r\n\r\n`;
  const talker = new Raw(suite.port).send(request);
  await talker.until('the stream', () => talker.text.includes('event: snapshot'));
  const chatter = (async () => {
    while (!talker.closed) {
      talker.send('x'.repeat(4096));
      await pause(1);
    }
  })();
  await talker.end();
  await chatter;
  const mute = Array.from({ length: 10 }, () => new Raw(suite.port));
  for (const r of mute) {
    await r.opened;
    r.socket.pause();
    r.send(request);
  }
  await eventually('they are viewers', async () => (await metrics.get('decnet_sse_streams{stream="topology"}')) >= 11);
  // More than all buffers between us take.
  const p = await guest();
  const own = `topology.${demo.id}.ext.fill`;
  const text = envelope(own, { x: 'y'.repeat(60000) });
  const pid = suite.pid('decnet-api');
  const before = rssMiB(pid);
  for (let i = 0; i < 400; i++) {
    const mark = p.text.length;
    p.say(`PUB ${own} ${text.length}\r\n${text}\r\n`);
    await p.since(mark);
  }
  if (!sanitized(pid)) assert.ok(rssMiB(pid) - before < 96, `${Math.round(rssMiB(pid) - before)} MiB more for ten that do not read`);
  await eventually('all ten are closed', async () => (await metrics.get('decnet_sse_closed_total{reason="stalled"}')) >= stalled + 10, 60000);
  assert.ok(!other.ended && other.broken === null, 'the one that reads goes on');
  for (const r of mute) r.cut();
  p.cut();
  other.cut();
});

test('a stolen token: logout ends its streams, its tickets and itself', async () => {
  const victim = await admin.user('victim', 'viewer');
  const { ticket } = await victim.expect(200, 'POST', '/auth/sse-ticket');
  const thief = [open('/identities/events', { token: victim.token }), open('/stream', { query: { token: victim.token } })];
  for (const v of thief) await v.event('snapshot');
  await victim.expect(200, 'POST', '/auth/logout');
  for (const v of thief) {
    assert.deepEqual((await v.event('bye')).data, { reason: 'revoked' });
    await v.end();
  }
  const late = open('/identities/events', { query: { ticket } });
  assert.equal(await late.opened, 401, 'a ticket ends with the token that it came from');
  assert.equal((await victim.get('/config')).status, 401);
});
