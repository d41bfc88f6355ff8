// SPDX-License-Identifier: Apache-2.0
// Traces: from a caller's traceparent through request, store, hint and mutation to the frame, over three processes; no secrets in them; a collector that is away,
// slow or unwell holds up nobody.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from 'nats';
import { Api } from './lib/api.mjs';
import { Collector } from './lib/collector.mjs';
import { CREDENTIALS, TOKEN } from './lib/rawbus.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, build, eventually, freePort } from './lib/suite.mjs';

let collector, suite, api, topology, metrics, nc;
const hints = [];

before(async () => {
  collector = await Collector.start();
  metrics = await freePort();
  const bus = await freePort();
  suite = await Suite.start({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    DECNET_METRICS_LISTEN: `127.0.0.1:${metrics}`,
    DECNET_BUS_LISTEN: `127.0.0.1:${bus}`,
    DECNET_BUS_TOKEN: TOKEN,
    DECNET_LIMITER_ENABLED: 'false',
    DECNET_SSE_MAX_PER_USER: '0',
  });
  suite.cli('demo');
  api = await Api.admin(suite);
  topology = await api.demoTopology();
  nc = await connect({ servers: `127.0.0.1:${bus}`, authenticator: () => CREDENTIALS });
  nc.subscribe('topology.>', { callback: (_, m) => hints.push(m.json()) });
  await nc.flush();
});

after(async () => {
  await nc?.close();
  await suite?.stop();
  await collector?.stop();
});

function caller(flags = '01') {
  const [trace, span] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { trace, span, headers: { traceparent: `00-${trace}-${span}-${flags}` } };
}

const mutate = (name, headers) => api.call('POST', `/topologies/${topology.id}/mutations`, { op: 'add_lan', payload: { name } }, headers);

async function dropped() {
  const page = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  return Number(/^decnet_limit_hits_total\{limit="trace_spans"\} (\d+)$/m.exec(page)[1]);
}

test('one mutation is one trace, from the caller to the frame', async () => {
  const viewer = new Viewer(suite.url, `/topologies/${topology.id}/events`, { token: api.token });
  await viewer.event('snapshot');
  const { trace, span, headers } = caller();
  const res = await mutate('traced-01', headers);
  assert.equal(res.status, 202);
  await viewer.event('mutation.applied');
  viewer.cut();
  const names = ['enqueued', 'applying', 'applied'].map((n) => `mutation.${n}`);
  await eventually('all its spans', () => names.every((n) => collector.of(trace, `deliver ${n}`).length > 0 && collector.of(trace, `publish ${n}`).length > 0));
  await eventually('the end of the work', () => collector.of(trace, 'mutation add_lan').length === 1);

  const [request] = collector.of(trace, 'POST ');
  assert.equal(request.name, 'POST /api/v1/topologies/{id}/mutations');
  assert.deepEqual([request.parentSpanId, request.kind, request.service, request.failed], [span, 2, 'decnet-api', false]);
  assert.match(request.attrs['decnet.request_id'], /^[0-9a-f]{32}$/);
  assert.deepEqual(request.attrs, {
    'http.request.method': 'POST',
    'http.route': '/api/v1/topologies/{id}/mutations',
    'url.path': `/api/v1/topologies/${topology.id}/mutations`,
    'decnet.request_id': request.attrs['decnet.request_id'],
    'http.response.status_code': 202,
  });
  const [store] = collector.of(trace, 'store');
  assert.deepEqual([store.parentSpanId, store.kind, store.service], [request.spanId, 1, 'decnet-api']);
  const [work] = collector.of(trace, 'mutation add_lan');
  assert.deepEqual([work.kind, work.service, work.failed], [5, 'decnet-mutator', false]);
  assert.deepEqual([work.attrs['decnet.mutation_id'], work.attrs['decnet.op'], work.attrs['decnet.attempt']], [res.body.mutation_id, 'add_lan', 1]);

  const above = { 'mutation.enqueued': request, 'mutation.applying': work, 'mutation.applied': work };
  for (const name of names) {
    const hint = collector.of(trace, `publish ${name}`)[0];
    assert.deepEqual([hint.parentSpanId, hint.kind, hint.service], [above[name].spanId, 4, above[name].service], name);
    assert.equal(hint.attrs['messaging.destination.name'], `topology.${topology.id}.${name}`);
    const frame = viewer.frames.find((f) => f.event === name);
    assert.equal(hint.attrs['decnet.seq'], frame.id);
    for (const d of collector.of(trace, `deliver ${name}`)) {
      assert.deepEqual([d.parentSpanId, d.kind, d.service], [hint.spanId, 5, 'decnet-api'], name);
      assert.deepEqual(d.attrs, { 'decnet.seq': frame.id, 'decnet.streams': 1 });
    }
    // It travels in the envelope, and nowhere in the frame.
    const envelope = hints.find((h) => h.seq === frame.id);
    assert.equal(envelope.traceparent, `00-${trace}-${hint.spanId}-01`);
    assert.deepEqual(Object.keys(frame.data), ['topic', 'type', 'ts', 'payload']);
  }
  assert.equal(work.parentSpanId, collector.of(trace, 'publish mutation.enqueued')[0].spanId);
  assert.ok(request.start <= store.start && store.end <= request.end, 'the store job is within the request');
});

test('a deploy is traced, too', async () => {
  const { trace, headers } = caller();
  const made = await api.expect(201, 'POST', '/topologies/blank', { name: 'traced' });
  assert.equal((await api.call('POST', `/topologies/${made.id}/deploy`, undefined, headers)).status, 202);
  await eventually('the work', () => collector.of(trace, 'mutation deploy').length === 1);
  assert.equal(collector.of(trace, 'mutation deploy')[0].attrs['decnet.topology_id'], made.id);
});

test('a refused operation has failed in its trace', async () => {
  const { trace, headers } = caller();
  assert.equal((await mutate('traced-01', headers)).status, 409);
  const [request] = await eventually('the request', () => collector.of(trace, 'POST ').length === 1 && collector.of(trace, 'POST '));
  assert.equal(request.attrs['http.response.status_code'], 409);
  assert.equal(request.failed, false, 'a refusal is no failure of ours');
  assert.equal(collector.of(trace, 'mutation').length, 0);
});

test('a caller that does not sample is not traced; what is no traceparent begins anew', async () => {
  const quiet = caller('00');
  assert.equal((await api.call('GET', '/topologies', undefined, quiet.headers)).status, 200);
  const { trace, span } = caller();
  const rows = [
    `00-${trace}-${span}`,
    `00-${trace}-${span}-01-x`,
    `ff-${trace}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase().replace(/^./, 'A')}-${span}-01`,
    `00-${trace}_${span}-01`,
    'x'.repeat(3000),
  ];
  const before = collector.spans.length;
  for (const traceparent of rows) assert.equal((await api.call('GET', '/topologies?limit=1', undefined, { traceparent })).status, 200, traceparent);
  const later = caller();
  // A version of the future is read as far as we know it.
  assert.equal((await api.call('GET', '/topologies', undefined, { traceparent: `cc-${later.trace}-${later.span}-01-what-the-future-brings` })).status, 200);
  await eventually('the last of them', () => collector.of(later.trace, 'GET ').length === 1);
  assert.equal(collector.of(later.trace, 'GET ')[0].parentSpanId, later.span);
  assert.equal(collector.of(quiet.trace).length, 0);
  const fresh = collector.spans.slice(before).filter((s) => s.attrs['url.query'] === 'limit=1');
  await eventually('a trace of its own for each', () => collector.spans.slice(before).filter((s) => s.attrs['url.query'] === 'limit=1').length === rows.length);
  for (const s of fresh) assert.notEqual(s.traceId, trace);
});

test('no secret is in a trace', async () => {
  const { ticket } = await api.expect(200, 'POST', '/auth/sse-ticket');
  const paths = [
    ['/identities/events', { token: api.token }, 'token=***'],
    ['/identities/events', { ticket }, 'ticket=***'],
    ['/events', { topics: 'topology.>', token: api.token, lastEventId: '7' }, 'topics=topology.%3E&token=***&lastEventId=7'],
    ['/events', { topics: 'identity.>', TOKEN: api.token }, 'topics=identity.%3E&TOKEN=***'],
  ];
  for (const [path, query, shown] of paths) {
    const v = new Viewer(suite.url, path, { query });
    await v.opened;
    v.cut();
    await eventually(shown, () => collector.spans.some((s) => s.attrs['url.query'] === shown));
  }
  // The name of the key may be disguised.
  await (await fetch(`${suite.url}/api/v1/identities?%74oken=${api.token}&t%6fken=${api.token}`)).text();
  await eventually('the disguise', () => collector.spans.some((s) => s.attrs['url.query'] === '***=***&***=***'));
  await Api.login(suite.url, 'admin', 'second-password-of-the-tests');
  await eventually('the login', () => collector.spans.some((s) => s.name === 'POST /api/v1/auth/login'));
  const all = collector.bodies.join('\n');
  for (const secret of [api.token, ticket, 'second-password', TOKEN]) assert.ok(!all.includes(secret), secret);
});

for (const [name, mode] of [
  ['a collector that answers 500', 500],
  ['a collector that answers 503', 503],
  ['a collector that never answers', 'silent'],
])
  test(`${name} holds up nobody, and what is lost is counted`, async () => {
    const before = await dropped();
    collector.mode = mode;
    const asked = collector.requests;
    // More than fits into the queue.
    let n = 0;
    const ask = async () => {
      while (n++ < 2600) assert.equal((await api.get('/topologies?limit=1')).status, 200);
    };
    await Promise.all(Array.from({ length: 8 }, ask));
    await eventually('it was tried', () => collector.requests > asked);
    await eventually('losses are counted', async () => (await dropped()) > before, 30000);
    assert.equal((await fetch(`${suite.url}/readyz`)).status, 200);
    collector.mode = 'well';
    // Answers that are outstanding end with their own deadline.
    await eventually('it is heard again', async () => {
      const { trace, headers } = caller();
      await api.call('GET', '/topologies?limit=1', undefined, headers);
      return eventually('this one', () => collector.of(trace, 'GET ').length === 1, 1000);
    }, 60000);
  });

test('the log says once that the collector is unwell, and not where it is', () => {
  const lines = suite.log.split('\n').filter((l) => l.includes('trace.export'));
  assert.ok(lines.some((l) => /trace\.export\.failed why="?status 500/.test(l)), lines.join('\n'));
  assert.ok(lines.some((l) => l.includes('trace.export.back')));
  assert.ok(!suite.log.includes(collector.url));
});

test('a collector that is away: all works, and the suite stops', async () => {
  const s = await Suite.start({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}`, DECNET_BUS_ENABLED: 'false' });
  try {
    const a = await Api.admin(s);
    for (let i = 0; i < 50; i++) assert.equal((await a.get('/topologies')).status, 200);
  } finally {
    await s.stop();
  }
  assert.equal((await s.exited).code, 0);
});

test('without the variable nothing is traced', async () => {
  for (const endpoint of [undefined, '']) {
    const s = await Suite.start({ ...(endpoint === undefined ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }) });
    try {
      const a = await Api.admin(s);
      const { trace, headers } = caller();
      assert.equal((await a.call('GET', '/topologies', undefined, headers)).status, 200);
      assert.equal(collector.of(trace).length, 0);
    } finally {
      await s.stop();
    }
    assert.ok(!s.log.includes('trace.'));
  }
});

test('without a bus a frame is below its request', async () => {
  const s = await Suite.start({ OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`, DECNET_BUS_ENABLED: 'false' });
  try {
    const a = await Api.admin(s);
    const v = new Viewer(s.url, '/events', { token: a.token, query: { topics: 'topology.>' } });
    await v.event('snapshot');
    const { trace, headers } = caller();
    assert.equal((await a.call('POST', '/topologies/blank', { name: 'silent' }, headers)).status, 201);
    await eventually('the delivery', () => collector.of(trace, 'deliver created').length > 0);
    v.cut();
    assert.equal(collector.of(trace, 'deliver created')[0].parentSpanId, collector.of(trace, 'POST ')[0].spanId);
    assert.equal(collector.of(trace, 'publish').length, 0);
  } finally {
    await s.stop();
  }
});

test('an address that cannot be used stops the start', () => {
  for (const bad of ['collector:4318', 'http://', 'ftp://a', 'http://a b', 'http://a?x', 'https:///v1']) {
    const r = spawnSync(join(build, 'src/main/decnet-api'), [], { env: { ...suite.env, OTEL_EXPORTER_OTLP_ENDPOINT: bad }, encoding: 'utf8', timeout: 10000 });
    assert.equal(r.status, 2, bad);
    assert.match(r.stderr, /OTEL_EXPORTER_OTLP_ENDPOINT/, bad);
  }
});
