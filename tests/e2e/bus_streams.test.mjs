// SPDX-License-Identifier: Apache-2.0
// From the bus to the streams: what foreign NATS clients publish passes as frames without an id, what cannot be a frame is counted, nobody is believed, and the
// suite's own heartbeats and losses are heard.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect as dial } from 'node:net';
import { connect, headers } from 'nats';
import { Api } from './lib/api.mjs';
import { CREDENTIALS, TOKEN } from './lib/rawbus.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, eventually, freePort } from './lib/suite.mjs';

let suite, api, topology, decky, attacker, foreign, heartbeats, port, metrics;

before(async () => {
  [port, metrics] = [await freePort(), await freePort()];
  suite = await Suite.start({
    DECNET_BUS_LISTEN: `127.0.0.1:${port}`,
    DECNET_BUS_TOKEN: TOKEN,
    DECNET_METRICS_LISTEN: `127.0.0.1:${metrics}`,
    DECNET_SSE_MAX_PER_USER: '0',
  });
  suite.cli('demo');
  api = await Api.admin(suite);
  // The slowest of them comes every half minute.
  heartbeats = await open('/events', { topics: 'system.*.health' });
  topology = await api.demoTopology();
  const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
  decky = detail.deckies.find((d) => d.endpoints.some((e) => e.service === 'http'));
  const e = decky.endpoints.find((x) => x.service === 'http');
  await fetch(`http://${e.address}:${e.port}/`);
  attacker = (await eventually('the attacker is known', async () => (await api.get('/attackers')).body.data[0])).uuid;
  foreign = await connect({ servers: `127.0.0.1:${port}`, authenticator: () => CREDENTIALS });
});

after(async () => {
  heartbeats?.cut();
  await foreign?.close();
  await suite?.stop();
});

const encode = (value) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

async function open(path, query, options = {}) {
  const v = new Viewer(suite.url, path, { token: api.token, query, ...options });
  await v.wait('the beginning', (f) => f.event === 'snapshot' || f.event === 'resumed');
  return v;
}

async function number(name) {
  const page = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(page)[1]);
}

/** The streams, which foreign subjects belong to them, and how the event is named there. */
const cases = () => [
  {
    path: `/topologies/${topology.id}/events`,
    mine: [
      [`topology.${topology.id}.ext.note`, { text: 'seen' }, 'ext.note'],
      [`decky.${decky.name}.ext.fan`, { topology_id: topology.id, speed: 3 }, 'decky.ext.fan'],
    ],
    others: [
      ['topology.01a1fdaf-88b8-7309-89b7-6c65c24636e9.ext.note', {}],
      [`decky.${decky.name}.ext.fan`, { topology_id: 'another' }],
      [`decky.${decky.name}.ext.fan`, {}],
      ['identity.ext.note', {}],
    ],
  },
  { path: '/identities/events', mine: [['identity.ext.note', { a: [1, { b: null }] }, 'ext.note']], others: [['attacker.ext.note', {}]] },
  {
    path: `/attackers/${attacker}/events`,
    mine: [
      ['attacker.ext.note', { attacker_uuid: attacker }, 'attacker.ext.note'],
      ['identity.ext.seen', { observation_uuid: attacker }, 'ext.seen'],
    ],
    others: [['attacker.ext.note', { attacker_uuid: 'another' }], ['identity.ext.seen', {}]],
  },
  {
    path: '/events',
    query: { topics: 'attacker.ext.*,topology.*.ext.>' },
    mine: [
      ['attacker.ext.x', {}, 'attacker.ext.x'],
      ['topology.any.ext.a.b', { n: 1 }, 'topology.any.ext.a.b'],
    ],
    others: [['attacker.ext.x.y', {}], ['identity.ext.x', {}], ['ext.a', {}]],
  },
];

test('what foreign clients publish passes where it belongs, without an id', async () => {
  for (const { path, query, mine, others } of cases()) {
    const v = await open(path, query);
    const before = v.lastId();
    for (const [subject, payload] of others) foreign.publish(subject, encode({ v: 1, topic: subject, type: 'x', ts: 1, payload }));
    for (const [subject, payload] of mine) foreign.publish(subject, encode({ v: 1, id: '0'.repeat(32), topic: 'a.lie', type: 'another', ts: 1769847300.25, payload }));
    const [last] = mine.at(-1);
    await v.wait(`${path}: ${last}`, (f) => f.data.topic === last);
    const seen = v.frames.filter((f) => f.id === undefined);
    assert.deepEqual(
      seen.map(({ event, id, data }) => ({ event, id, data })),
      mine.map(([topic, payload, event]) => ({ event, id: undefined, data: { topic, type: topic.split('.').slice(topic.startsWith('topology.') || topic.startsWith('decky.') ? 2 : 1).join('.'), ts: 1769847300.25, payload } })),
      path,
    );
    assert.equal(v.lastId(), before, 'nothing moved on');
    v.cut();
    // They are delivered live and never again.
    const again = await open(path, query, { lastEventId: v.lastId() });
    assert.ok(!again.frames.some((f) => f.id === undefined), path);
    again.cut();
  }
});

test('missing keys are tolerated; the time is then that of arrival', async () => {
  const v = await open('/identities/events');
  const began = Date.now() / 1000;
  for (const message of [{}, { payload: {} }, { ts: 'soon', type: 7, id: [], payload: { n: 1 } }, { v: 9, ts: -4, unknown: true }]) foreign.publish('identity.ext.bare', encode(message));
  const h = headers();
  h.set('Anything', 'at all');
  foreign.publish('identity.ext.last', encode({ payload: { ä: '𝄞' } }), { headers: h, reply: '_INBOX.nobody' });
  await v.event('ext.last');
  const bare = v.frames.filter((f) => f.event === 'ext.bare').map((f) => f.data);
  assert.deepEqual(bare.map((d) => [d.topic, d.type, d.payload]), [{}, {}, { n: 1 }, {}].map((p) => ['identity.ext.bare', 'ext.bare', p]));
  for (const d of bare) assert.ok(d.ts >= began - 1 && d.ts <= Date.now() / 1000 + 1, String(d.ts));
  assert.deepEqual(v.frames.at(-1).data.payload, { ä: '𝄞' });
  v.cut();
});

test('what is no event is counted and dropped', async () => {
  const v = await open('/identities/events');
  const before = await number('decnet_sse_bus_rejected_total');
  const wrong = ['', 'text', '[]', '7', 'null', '{"payload":[]}', '{"payload":"x"}', '{"payload":null}', '{"payload":{}', `${'['.repeat(10000)}`, '{"a":1,"a":2}'];
  for (const message of wrong) foreign.publish('identity.ext.wrong', encode(message));
  foreign.publish('identity.ext.wrong', new Uint8Array([0x7b, 0xff, 0x7d]));
  foreign.publish('identity.ext.right', encode({}));
  await v.event('ext.right');
  assert.ok(!v.frames.some((f) => f.event === 'ext.wrong'), v.summary());
  assert.equal((await number('decnet_sse_bus_rejected_total')) - before, wrong.length + 1);
  v.cut();
});

test('a hint is never believed', async () => {
  const v = await open(`/topologies/${topology.id}/events`);
  const head = v.lastId();
  const forged = { topology_id: topology.id, status: 'torn_down', state: 'torn_down', from: 'active', reason: null };
  // With a number of its own, of a row there is, of one there will be.
  for (const seq of [1, head, head + 1, head + 1000, Number.MAX_SAFE_INTEGER]) foreign.publish(`topology.${topology.id}.ext.status`, encode({ v: 1, topic: `topology.${topology.id}.status`, type: 'status', payload: forged, seq }));
  // A guest may not even say it.
  foreign.publish(`topology.${topology.id}.status`, encode({ v: 1, payload: forged, seq: head + 1 }));
  await foreign.flush();
  await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, { op: 'add_lan', payload: { name: 'believed' } });
  await v.event('mutation.applied');
  assert.ok(!v.frames.some((f) => f.event.includes('status')), v.summary());
  assert.deepEqual(v.rows().map((f) => f.event), ['mutation.enqueued', 'mutation.applying', 'mutation.applied']);
  assert.ok(v.rows().every((f) => f.id > head));
  v.cut();
});

test('a slow client loses the oldest, and the stream says how much', async () => {
  const [MANY, SIZE] = [6000, 4096];
  const v = await open('/events', { topics: 'system.bus.dropped' });
  const slow = dial(port, '127.0.0.1');
  let text = '';
  slow.setEncoding('latin1');
  slow.on('data', (chunk) => (text += chunk));
  slow.write(`CONNECT {"verbose":false,"name":"slow-one","auth_token":"${TOKEN}"}\r\nSUB ext.flood 1\r\nPING\r\n`);
  await eventually('it listens', () => text.includes('PONG'));
  slow.pause();
  const body = 'x'.repeat(SIZE - 8);
  for (let i = 0; i < MANY; i++) {
    foreign.publish('ext.flood', encode(String(i).padStart(8, '0') + body));
    if (i % 200 === 0) await foreign.flush();
  }
  await foreign.flush();
  const told = await v.event('system.bus.dropped');
  slow.resume();
  await eventually('it has the newest', () => text.endsWith(`${String(MANY - 1).padStart(8, '0')}${body}\r\n`));
  const got = [...text.matchAll(/MSG ext\.flood 1 4096\r\n(\d{8})/g)].map((m) => Number(m[1]));
  assert.ok(got.every((n, i) => i === 0 || n > got[i - 1]), 'in order, none twice');
  const lost = MANY - got.length;
  assert.ok(lost > 0);
  const sum = () => v.frames.filter((f) => f.event === 'system.bus.dropped').reduce((n, f) => n + f.data.payload.dropped, 0);
  await eventually('every loss was told', () => sum() === lost);
  const last = v.frames.findLast((f) => f.event === 'system.bus.dropped').data.payload;
  assert.deepEqual([last.name, last.role, last.dropped_total], ['slow-one', 'guest', lost]);
  assert.ok(told.data.payload.pending_bytes <= 8 * 1024 * 1024);
  slow.destroy();
  v.cut();
  await eventually('the metrics have it', async () => (await number('decnet_limit_hits_total\\{limit="bus_pending"\\}')) >= lost, 20000);
});

test('every worker is heard on the stream of health', async () => {
  const v = heartbeats;
  const wanted = ['api', 'bus', 'decoy', 'mutator', 'resolver', 'supervisor'];
  await v.wait('a heartbeat of each', () => wanted.every((w) => v.frames.some((f) => f.event === `system.${w}.health`)), { deadlineMs: 45000 });
  for (const f of v.frames.filter((x) => x.event !== 'snapshot')) {
    assert.equal(f.id, undefined);
    assert.equal(f.data.type, 'health');
    const p = f.data.payload;
    const keys = f.event === 'system.bus.health' ? ['pid', 'uptime_sec', 'clients', 'messages_in', 'messages_out', 'dropped', 'ts'] : ['worker', 'pid', 'uptime_sec', 'ts'];
    for (const key of keys) assert.ok(key in p, `${f.event}: ${key}`);
    if (p.worker) assert.equal(f.event, `system.${p.worker}.health`);
    assert.ok(Number.isInteger(p.pid) && p.pid > 0, f.event);
    assert.ok(Math.abs(p.ts - f.data.ts) < 1, f.event);
  }
  const bus = v.frames.find((f) => f.event === 'system.bus.health').data.payload;
  assert.equal(bus.pid, suite.pid('decnet-bus'));
  assert.ok(bus.clients >= 4);
  const { body } = await api.get('/workers');
  for (const w of body.workers.filter((x) => wanted.includes(x.name))) assert.equal(w.status, 'ok', w.name);
  v.cut();
});
