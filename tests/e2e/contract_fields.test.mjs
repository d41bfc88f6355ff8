// SPDX-License-Identifier: Apache-2.0
// Every field of every body of topologies, mutations and services with every value that it may not have, and bodies that are none.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { BAD, INVALID, Literal, NOBODY, ask, askAll, bodyText, brokenBodies, refused, wrongBodies } from './lib/contract.mjs';
import { Suite } from './lib/suite.mjs';

const T = `/topologies/${NOBODY}`;
const D = `${T}/deckies/web/services`;
const req = (kind, more = {}) => ({ kind, required: true, ...more });
const VERSION = { expected_version: { kind: 'int', bad: [-1] } };
const HOST = { mode: { kind: 'word' }, target_host: { kind: 'text', nullable: true, bad: ['x'.repeat(65)] } };
const XY = { x: { kind: 'num', nullable: true }, y: { kind: 'num', nullable: true } };

/** `services` and `service_config`, with the texts of refused values at `at`. */
const SERVICES = (at) => ({ kind: 'texts', inner: [
  [[5], `${at}.0`], [['http', null], `${at}.1`], [[[]], `${at}.0`], [['nothing'], `${at}.0`], [[''], `${at}.0`], [['http', 'HTTP'], `${at}.1`], [['ssh'], `${at}.0`], [['x'.repeat(1000)], `${at}.0`],
] });
const CONFIG = (at) => ({ kind: 'object', inner: [
  [{ http: 5 }, `${at}.http`], [{ nothing: {} }, `${at}.nothing`], [{ http: { colour: 1 } }, `${at}.http.colour`], [{ http: { response_code: 'many' } }, `${at}.http.response_code`],
  [{ http: { fake_app: 'x' } }, `${at}.http.fake_app`], [{ redis: { colour: 'x' } }, `${at}.redis.colour`],
] });
const ARCHETYPE = { kind: 'word', nullable: true };
const BOOL = { kind: 'bool' };
const LONGER = ['x'.repeat(256)];

/** An op as a row like those of the other routes: its fields are below `payload`. */
const op = (name, payload, fields) => ({
  route: ['POST', `${T}/mutations`],
  good: { op: name, payload },
  fields: { op: req('word'), payload: { kind: 'object' }, ...VERSION, ...Object.fromEntries(Object.entries(fields).map(([k, v]) => [`payload.${k}`, v])) },
  gone: 'Topology not found',
  payload: true,
});

const TABLE = [
  {
    route: ['POST', '/topologies'],
    good: { name: 'x', depth: 1, branching_factor: 1, target_host: 'nobody' },
    fields: {
      name: req('title'), ...HOST, depth: req('int', { range: [1, 16] }), branching_factor: req('int', { range: [1, 8] }),
      deckies_per_lan_min: { kind: 'int', range: [0, 32] }, deckies_per_lan_max: { kind: 'int', range: [1, 32] },
      bridge_forward_probability: { kind: 'num', bad: [-0.1, 1.1] }, cross_edge_probability: { kind: 'num', bad: [-0.1, 1.1, 1e300] },
      services_explicit: { ...SERVICES('services_explicit'), nullable: true }, randomize_services: BOOL, seed: { kind: 'int', nullable: true, bad: [-1] },
    },
    after: [422, "target_host is only valid when mode='agent'"],
  },
  { route: ['POST', '/topologies/blank'], good: { name: 'x', target_host: 'nobody' }, fields: { name: req('title'), ...HOST }, after: [422, "target_host is only valid when mode='agent'"] },
  { route: ['POST', `${T}/deploy`], good: {}, fields: VERSION, gone: 'Topology not found' },
  { route: ['POST', `${T}/teardown`], good: {}, fields: VERSION, gone: 'Topology not found' },
  { route: ['POST', `${T}/lans`], good: { name: 'a' }, fields: { name: req('lan'), subnet: { kind: 'text', nullable: true, bad: LONGER }, is_dmz: BOOL, ...XY, ...VERSION }, gone: 'Topology not found' },
  { route: ['PATCH', `${T}/lans/${NOBODY}`], good: {}, fields: { name: { kind: 'lan' }, subnet: { kind: 'text', bad: LONGER }, is_dmz: BOOL, ...XY, ...VERSION }, gone: 'Topology not found' },
  {
    route: ['POST', `${T}/deckies`],
    good: { name: 'a' },
    fields: {
      name: req('decky'), services: SERVICES('services'), decky_config: { kind: 'object', inner: [[{ colour: 1 }, 'decky_config.colour'], [{ name: 'b' }, 'decky_config.name'], [{ ips_by_lan: { a: '10.0.0.2' } }, 'decky_config.ips_by_lan']] },
      'decky_config.archetype': ARCHETYPE, 'decky_config.forwards_l3': BOOL, 'decky_config.service_config': CONFIG('decky_config.service_config'), ...XY, ...VERSION,
    },
    gone: 'Topology not found',
    texts: true,
  },
  { route: ['PATCH', `${T}/deckies/${NOBODY}`], good: {}, fields: { name: { kind: 'decky' }, services: SERVICES('services'), decky_config: { kind: 'object' }, home_lan_id: { kind: 'text', bad: LONGER }, ...XY, ...VERSION }, gone: 'Topology not found', texts: true },
  { route: ['POST', `${T}/edges`], good: { decky_uuid: NOBODY, lan_id: NOBODY }, fields: { decky_uuid: req('id'), lan_id: req('id'), ip: { kind: 'text', nullable: true, bad: LONGER }, is_bridge: BOOL, forwards_l3: BOOL, ...VERSION }, gone: 'Topology not found' },
  op('add_lan', { name: 'a' }, { name: req('lan'), subnet: { kind: 'text', bad: LONGER }, is_dmz: BOOL, ...XY }),
  op('remove_lan', { name: 'a' }, { name: req('text', { bad: LONGER }) }),
  op('add_decky', { name: 'a', lan: 'a' }, {
    name: req('decky'), lan: req('text', { bad: LONGER }), services: SERVICES('payload.services'), archetype: ARCHETYPE, forwards_l3: BOOL,
    service_config: CONFIG('payload.service_config'), ip: { kind: 'text', bad: LONGER }, ...XY,
  }),
  op('attach_decky', { decky: 'a', lan: 'a' }, { decky: req('text'), lan: req('text'), ip: { kind: 'text' }, forwards_l3: BOOL }),
  op('detach_decky', { decky: 'a', lan: 'a' }, { decky: req('text'), lan: req('text') }),
  op('remove_decky', { decky: 'a' }, { decky: req('text') }),
  op('update_decky', { decky: 'a' }, {
    decky: req('text'), patch: { kind: 'object', inner: [[{ name: 'b' }, 'payload.patch.name'], [{ services: [] }, 'payload.patch.services'], [{ '': 1 }, 'payload.patch.']] }, 'patch.archetype': ARCHETYPE, 'patch.forwards_l3': BOOL,
    'patch.service_config': CONFIG('payload.patch.service_config'), services: SERVICES('payload.services'), ...XY, force: BOOL,
  }),
  op('update_lan', { name: 'a' }, { name: req('text'), patch: { kind: 'object', inner: [[{ x: 1 }, 'payload.patch.x']] }, 'patch.name': { kind: 'lan' }, 'patch.subnet': { kind: 'text' }, 'patch.is_dmz': BOOL, ...XY }),
  { route: ['POST', D], good: { name: 'http' }, fields: { name: req('text', { bad: ['x'.repeat(65)] }), config: { kind: 'object' }, ...VERSION }, gone: `topology '${NOBODY}' not found` },
  { route: ['PUT', `${D}/http/config`], good: { config: {} }, fields: { config: req('object'), ...VERSION }, gone: `topology '${NOBODY}' not found` },
  { route: ['POST', `${D}/http/apply`], good: { config: {} }, fields: { config: req('object'), ...VERSION }, gone: `topology '${NOBODY}' not found` },
];

let suite, admin;

before(async () => {
  suite = await Suite.start();
  admin = await Api.admin(suite);
});

after(async () => {
  await suite?.stop();
});

const NOT_HERE = /^(unknown service '.*'|service '.*' is not available in this build|.*: (unknown config key|expected (int|bool|string), got '.*'|'.*' not in allowed values \[.*\]|invalid base64|too long))$/s;

for (const row of TABLE) {
  const [method, path] = row.route;
  const label = `${method} ${path.replaceAll(NOBODY, '…')}${row.good.op ? ` ${row.good.op}` : ''}`;

  test(`${label}: values that no field may have`, async () => {
    const cases = wrongBodies(row.good, row.fields);
    if (row.payload) for (const key of ['colour', 'op', '']) cases.push([`unknown payload key ${key}`, { ...row.good, payload: { ...row.good.payload, [key]: 1 } }, `payload.${key}`]);
    for (let i = 0; i < cases.length; i += 20) {
      const some = cases.slice(i, i + 20);
      const answers = await askAll(suite, admin.token, some.map(([, body]) => [method, path, bodyText(body)]));
      some.forEach(([what, , field], k) => {
        const { status, json } = answers[k];
        // A value that is refused for what the text at the route says has that text as its detail.
        const text = row.texts && status === 422 && NOT_HERE.test(json.errors[0]?.message) ? json.errors[0].message : INVALID;
        refused(answers[k], shown(field), `${label}: ${what}`, text);
      });
    }
  });

  test(`${label}: bodies that are none`, async () => {
    const cases = brokenBodies(row.good);
    const answers = await askAll(suite, admin.token, cases.map(([, body]) => [method, path, body]));
    cases.forEach(([what, , detail], i) => {
      assert.equal(answers[i].status, 400, `${label}: ${what}: ${answers[i].body}`);
      assert.deepEqual(answers[i].json, { detail }, `${label}: ${what}`);
    });
    const [empty] = await askAll(suite, admin.token, [[method, path, undefined]]);
    const required = Object.entries(row.fields).filter(([k, f]) => f.required && !k.startsWith('payload.')).map(([k]) => k).sort();
    if (required.length) assert.deepEqual(empty.json.errors.map((e) => e.field).sort(), required, `${label}: no body`);
    const plain = await ask(suite, admin.token, method, path, bodyText(row.good), ['Content-Type: text/plain']);
    assert.deepEqual([plain.status, plain.json], [415, { detail: 'Unsupported media type: expected application/json' }], label);
    const deep = { ...row.good, colour: new Literal(`${'['.repeat(31)}${']'.repeat(31)}`) };
    refused((await askAll(suite, admin.token, [[method, path, bodyText(deep)]]))[0], 'colour', `${label}: nesting of 32 is read`);
  });

  test(`${label}: a good body gets further`, async () => {
    const answer = await ask(suite, admin.token, method, path, bodyText(row.good));
    const [status, text] = row.after ?? [404, row.gone];
    assert.deepEqual([answer.status, answer.json.detail], [status, text], `${label}: ${answer.body}`);
  });
}

/** Long keys are cut where they are shown. */
function shown(field) {
  return field.length > 200 ? field.slice(0, 200) : field;
}

test('every problem of a body is told at once, 32 at most', async () => {
  const body = { name: 5, depth: 'x', branching_factor: null, mode: 'x', deckies_per_lan_min: 99, seed: -1, randomize_services: 'no', services_explicit: [1, 'nothing'], a: 1, b: 2 };
  const answer = await ask(suite, admin.token, 'POST', '/topologies', bodyText(body));
  assert.equal(answer.status, 422);
  const fields = new Set(answer.json.errors.map((e) => e.field));
  for (const f of ['name', 'depth', 'branching_factor', 'mode', 'deckies_per_lan_min', 'seed', 'randomize_services', 'services_explicit.0', 'services_explicit.1', 'a', 'b']) assert.ok(fields.has(f), `${f} in ${[...fields]}`);
  const many = await ask(suite, admin.token, 'POST', `${T}/mutations`, bodyText({ op: 'add_lan', payload: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, 1])) }));
  assert.equal(many.json.errors.length, 32);
});

test('the generator: values that do not go together', async () => {
  const good = { name: 'g', depth: 1, branching_factor: 1 };
  const cases = [
    [{ ...good, deckies_per_lan_min: 5, deckies_per_lan_max: 4 }, 'deckies_per_lan_min'],
    [{ ...good, deckies_per_lan_min: 4 }, 'deckies_per_lan_min'],
    [{ ...good, randomize_services: false }, 'services_explicit'],
    [{ ...good, randomize_services: false, services_explicit: null }, 'services_explicit'],
  ];
  for (const [body, field] of cases) refused(await ask(suite, admin.token, 'POST', '/topologies', bodyText(body)), field, JSON.stringify(body));
});

test('ops that cannot be enqueued by hand', async () => {
  const payloads = { service_add: { decky: 'a', service: 'http' }, service_remove: { decky: 'a', service: 'http' }, service_config: { decky: 'a', service: 'http', config: {} } };
  for (const [name, payload] of Object.entries(payloads)) refused(await ask(suite, admin.token, 'POST', `${T}/mutations`, bodyText({ op: name, payload })), 'op', name);
});

const QUERIES = [
  ['/topologies', { status: ['', 'x', 'Active', 'pending,active', 'x'.repeat(100)], limit: [0, 501, -1, 'x', '', '1.5', '1e2', '+1', ' 1', '99999999999999999999'], offset: [-1, 2147483648, 'x', ''] }],
  [`${T}/mutations`, { state: ['', 'x', 'Pending', 'done'], limit: [0, 501, -1, 'x', ''], offset: [-1, 2147483648, 'x'] }],
  [`${T}/status-events`, { limit: [0, 1001, 'x', ''] }],
  ['/topologies/next-subnet', { base: ['', 'x', '10', '10.0.0', '10.0.0.0', '10.0.0.0/25', '10.0.0.1/24', '10.0.0.0/33', '256.0', '10.0.0.0/', '/24', '::/16', '10.0/16', '010.0'] }],
  ['/identities', { limit: [0, 1001, 'x', ''], offset: [-1, 2147483648] }],
  ['/logs', { limit: [0, 1001, 'x', ''], offset: [-1, 2147483648], search: ['x'.repeat(513)], start_time: ['x', '2026-13-01', '2026-02-30T00:00:00Z', '2026-01-01T25:00:00Z', '1769847300'], end_time: ['yesterday'] }],
  ['/logs/histogram', { interval_minutes: [0, 10081, 'x', ''], start_time: ['x'], end_time: ['x'], search: ['x'.repeat(513)] }],
  ['/attackers', { limit: [0, 1001, 'x'], offset: [-1, 2147483648], sort_by: ['x', 'Recent'] }],
  [`/attackers/${NOBODY}/commands`, { limit: [0, 201, 'x'], offset: [-1, 2147483648] }],
  [`/identities/${NOBODY}/observations`, { limit: [0, 1001, 'x'], offset: [-1, 2147483648] }],
  [`/identities/${NOBODY}/evidence`, { limit: [0, 1001, 'x'], offset: [-1, 2147483648] }],
];
for (const [path, args] of QUERIES) {
  test(`GET ${path.replaceAll(NOBODY, '…')}: arguments out of range`, async () => {
    const cases = Object.entries(args).flatMap(([key, values]) => values.map((v) => [key, v]));
    const answers = await askAll(suite, admin.token, cases.map(([key, v]) => ['GET', `${path}?${key}=${encodeURIComponent(v)}`]));
    cases.forEach(([key, v], i) => refused(answers[i], `query.${key}`, `${path}?${key}=${String(v).slice(0, 30)}`));
  });
}

test('DELETE: expected_version in the query', async () => {
  const paths = [T, `${T}/lans/${NOBODY}`, `${T}/deckies/${NOBODY}`, `${T}/edges/${NOBODY}`, `${T}/mutations/${NOBODY}`, `${D}/http`];
  const cases = paths.flatMap((p) => ['x', '', '-1', '1.5', '99999999999999999999'].map((v) => ['DELETE', `${p}?expected_version=${v}`]));
  const answers = await askAll(suite, admin.token, cases);
  cases.forEach(([, path], i) => refused(answers[i], 'query.expected_version', path));
});

test('the kinds are all used', () => {
  const used = new Set(TABLE.flatMap((r) => Object.values(r.fields).map((f) => f.kind)));
  assert.deepEqual([...used].sort(), Object.keys(BAD).sort());
});
