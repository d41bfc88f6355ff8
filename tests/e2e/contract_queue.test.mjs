// SPDX-License-Identifier: Apache-2.0
// Topologies that somebody lives in: the queue, its refusals, who is first, live services, deploy and teardown, history.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { NOBODY, ROW, any, envelope, fits, int, listOf, object, str, uuid, value } from './lib/contract.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const ROUNDS = process.env.DECNET_SOAK ? 1000 : 50;
let suite, admin, names = 0;

before(async () => {
  suite = await Suite.start();
  admin = await Api.admin(suite);
});

after(async () => {
  await suite?.stop();
});

const show = (id) => admin.expect(200, 'GET', `/topologies/${id}`);
const status = (id, wanted) => eventually(`${id} is ${wanted}`, async () => (await show(id)).topology.status === wanted);
const queue = (id, query = '') => admin.expect(200, 'GET', `/topologies/${id}/mutations${query}`);
const idle = (id) => eventually('the queue is empty', async () => (await queue(id, '?state=pending')).total + (await queue(id, '?state=applying')).total === 0, 30000);

/** An active topology: dmz with its gateway and `web`, LAN `inner` with `db`, joined by the gateway. */
async function network(name = `net-${names++}`) {
  const { id } = await admin.expect(201, 'POST', '/topologies/blank', { name });
  const at = `/topologies/${id}`;
  const { lans: [dmz], deckies: [gate] } = await show(id);
  const inner = await admin.expect(201, 'POST', `${at}/lans`, { name: 'inner' });
  await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: gate.uuid, lan_id: inner.id, is_bridge: true });
  for (const [decky, service, lan] of [['web', 'http', dmz], ['db', 'redis', inner]]) {
    const d = await admin.expect(201, 'POST', `${at}/deckies`, { name: decky, services: [service] });
    await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: d.uuid, lan_id: lan.id });
  }
  await admin.expect(202, 'POST', `${at}/deploy`);
  await status(id, 'active');
  return { id, at, dmz, inner };
}

async function answers(code, text, method, path, body) {
  const res = await admin.call(method, path, body);
  assert.equal(res.status, code, `${method} ${path} ${JSON.stringify(body)?.slice(0, 120)}: ${res.status} ${JSON.stringify(res.body)}`);
  if (text !== undefined) assert.equal(res.body?.detail, text);
  return res.body;
}

/** Enqueues, and waits until it ended as `state`; the row. */
async function mutate(net, op, payload, state = 'applied') {
  const { mutation_id } = await answers(202, undefined, 'POST', `${net.at}/mutations`, { op, payload });
  return eventually(`${op} ends`, async () => {
    const row = (await queue(net.id)).data.find((m) => m.id === mutation_id);
    if (['pending', 'applying'].includes(row.state)) return null;
    assert.equal(row.state, state, JSON.stringify(row));
    return row;
  });
}

async function stopped(name, run) {
  process.kill(suite.pid(name), 'SIGSTOP');
  try {
    return await run();
  } finally {
    process.kill(suite.pid(name), 'SIGCONT');
  }
}

const open = ({ address, port }) => new Promise((good) => {
  const s = connect(port, address, () => { s.destroy(); good(true); });
  s.on('error', () => good(false));
});

test('deploy, teardown, delete: rows, texts, history, ports', async () => {
  const { id } = await admin.expect(201, 'POST', '/topologies/blank', { name: 'life' });
  const at = `/topologies/${id}`;
  const d = await admin.expect(201, 'POST', `${at}/deckies`, { name: 'web', services: ['http'] });
  await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: d.uuid, lan_id: (await show(id)).lans[0].id });
  await answers(409, "Topology is 'pending'; teardown is allowed from ['active', 'degraded', 'deploying', 'failed'].", 'POST', `${at}/teardown`);
  const v = (await show(id)).topology.version;
  const body = await admin.expect(202, 'POST', `${at}/deploy`, { expected_version: v });
  fits(body, { ...ROW.topology, issues: listOf(ROW.issue) });
  assert.deepEqual([body.status, body.version], ['deploying', v]);
  await status(id, 'active');
  const { deckies } = await show(id);
  const web = deckies.find((x) => x.name === 'web');
  assert.deepEqual([web.state, web.endpoints.map((e) => [e.service, e.proto, e.lan])], ['running', [['http', 'tcp', 'dmz'], ['http', 'tcp', 'dmz']]]);
  for (const e of web.endpoints) assert.ok(await open(e));
  await answers(409, "Topology is 'active'; only 'pending' topologies can be deployed.", 'POST', `${at}/deploy`, {});
  await answers(409, "Topology is 'active'; teardown to 'torn_down' before delete.", 'DELETE', at);
  for (const [method, path, b] of [['POST', '/lans', { name: 'x' }], ['PATCH', `/lans/${(await show(id)).lans[0].id}`, {}], ['DELETE', `/lans/${(await show(id)).lans[0].id}`], ['POST', '/deckies', { name: 'x' }], ['PATCH', `/deckies/${d.uuid}`, {}], ['DELETE', `/deckies/${d.uuid}`], ['POST', '/edges', { decky_uuid: d.uuid, lan_id: NOBODY }], ['DELETE', `/edges/${(await show(id)).edges[0].id}`]])
    await answers(409, "Topology is 'active'; free-form child edits are pending-only.  Use the mutation queue for active topologies.", method, at + path, b);
  await answers(409, `Version conflict: expected 1, current ${v}`, 'POST', `${at}/teardown`, { expected_version: 1 });
  const down = await admin.expect(202, 'POST', `${at}/teardown`, { expected_version: v });
  assert.equal(down.status, 'tearing_down');
  for (const key of Object.keys(ROW.topology)) fits(down[key], ROW.topology[key], key);
  await status(id, 'torn_down');
  for (const e of web.endpoints) assert.equal(await open(e), false, 'nobody is home');
  const end = await show(id);
  assert.equal(end.topology.version, v, 'status transitions count nothing');
  for (const x of end.deckies) assert.deepEqual([x.state, x.endpoints], ['torn_down', []]);
  const events = await admin.expect(200, 'GET', `${at}/status-events`);
  fits(events, listOf(ROW.statusEvent));
  assert.deepEqual(events.map((e) => [e.from_status, e.to_status]), [['tearing_down', 'torn_down'], ['active', 'tearing_down'], ['deploying', 'active'], ['pending', 'deploying']]);
  assert.equal((await admin.expect(200, 'GET', `${at}/status-events?limit=1`)).length, 1);
  for (const path of ['/deploy', '/teardown']) await answers(409, undefined, 'POST', at + path);
  await admin.expect(204, 'DELETE', at);
  for (const [method, path] of [['GET', ''], ['DELETE', ''], ['GET', '/issues'], ['GET', '/mutations'], ['GET', '/status-events'], ['POST', '/deploy'], ['POST', '/teardown']]) await answers(404, 'Topology not found', method, at + path);
});

test('reap-orphans', async () => {
  for (const body of [undefined, {}]) fits(await admin.expect(200, 'POST', '/topologies/reap-orphans', body), { live_prefixes: listOf(any), orphan_prefixes: listOf(any), namespaces_removed: listOf(any), networks_removed: listOf(any), errors: listOf(any) });
});

test('the queue of a topology that is not live', async () => {
  const { id } = await admin.expect(201, 'POST', '/topologies/blank', { name: 'still' });
  const text = "Topology is 'pending'; the mutation queue is only open for 'active' or 'degraded' topologies.  Use child-CRUD endpoints while pending.";
  await answers(409, text, 'POST', `/topologies/${id}/mutations`, { op: 'add_lan', payload: { name: 'x' } });
  await answers(409, text, 'POST', `/topologies/${id}/mutations`, { op: 'add_lan', payload: { name: 'x' }, expected_version: 77 });
  fits(await queue(id), envelope(ROW.mutation));
  await answers(404, 'Mutation not found', 'DELETE', `/topologies/${id}/mutations/${NOBODY}`);
  await answers(404, 'Mutation not found', 'DELETE', `/topologies/${id}/mutations/x`);
  await answers(404, 'Topology not found', 'DELETE', `/topologies/${NOBODY}/mutations/${NOBODY}`);
});

test('every op: its effect, and each of its refusals', async () => {
  const net = await network();
  const refuse = (text, op, payload) => answers(409, text, 'POST', `${net.at}/mutations`, { op, payload });
  const bad = async (text, op, payload, field) => assert.deepEqual((await answers(422, text, 'POST', `${net.at}/mutations`, { op, payload })).errors.map((e) => e.field), [field]);
  const other = await admin.expect(201, 'POST', '/topologies/blank', { name: 'beside' });
  const theirs = (await show(other.id)).lans[0].subnet;
  const base = net.inner.subnet.replace('.0/24', '');

  await refuse("LAN 'INNER' already exists", 'add_lan', { name: 'INNER' });
  await refuse(`subnet ${theirs} overlaps LAN 'dmz' of topology 'beside'`, 'add_lan', { name: 'x', subnet: theirs });
  await bad("subnet '10.0.0.1/24' is malformed", 'add_lan', { name: 'x', subnet: '10.0.0.1/24' }, 'payload.subnet');
  const issue = await refuse(`post-apply validation failed for ${net.id}: DMZ_MULTIPLE`, 'add_lan', { name: 'x', is_dmz: true });
  fits(issue, { detail: str, issues: listOf(ROW.issue) });
  await mutate(net, 'add_lan', { name: 'extra', subnet: '10.60.0.0/29', x: 1, y: 2 });
  const lan = (await show(net.id)).lans.find((l) => l.name === 'extra');
  assert.deepEqual([lan.subnet, lan.is_dmz, lan.x, lan.y], ['10.60.0.0/29', false, 1, 2]);

  await refuse("decky 'web' already exists", 'add_decky', { name: 'web', lan: 'dmz' });
  await refuse("LAN 'nowhere' not found", 'add_decky', { name: 'x', lan: 'nowhere' });
  await refuse("LAN 'DMZ' not found", 'add_decky', { name: 'x', lan: 'DMZ' });
  await bad(`${base}.1 is the gateway of ${net.inner.subnet}`, 'add_decky', { name: 'x', lan: 'inner', ip: `${base}.1` }, 'payload.ip');
  await bad(`1.2.3.4 not in ${net.inner.subnet}`, 'add_decky', { name: 'x', lan: 'inner', ip: '1.2.3.4' }, 'payload.ip');
  await refuse(`${base}.2 is already used on LAN 'inner'`, 'add_decky', { name: 'x', lan: 'inner', ip: `${base}.2` });
  await refuse(`post-apply validation failed for ${net.id}: SERVICE_CFG_UNDECLARED`, 'add_decky', { name: 'x', lan: 'inner', service_config: { http: {} } });
  await mutate(net, 'add_decky', { name: 'x', lan: 'extra', services: ['telnet'], archetype: 'printer', forwards_l3: false, service_config: { telnet: {} }, ip: '10.60.0.5', x: 7, y: 8 });
  let x = (await show(net.id)).deckies.find((d) => d.name === 'x');
  fits(x, ROW.decky);
  assert.deepEqual([x.state, x.ip, x.services, x.x, x.y, x.decky_config.archetype, x.endpoints.length], ['running', '10.60.0.5', ['telnet'], 7, 8, 'printer', 1]);
  assert.ok(await open(x.endpoints[0]));

  await refuse("decky 'nobody' not found", 'attach_decky', { decky: 'nobody', lan: 'inner' });
  await refuse("LAN 'nowhere' not found", 'attach_decky', { decky: 'x', lan: 'nowhere' });
  await refuse("decky 'x' already on LAN 'extra'", 'attach_decky', { decky: 'x', lan: 'extra' });
  await refuse(`${base}.2 is already used on LAN 'inner'`, 'attach_decky', { decky: 'x', lan: 'inner', ip: `${base}.2` });
  await mutate(net, 'attach_decky', { decky: 'x', lan: 'inner', forwards_l3: true });
  let all = await show(net.id);
  x = all.deckies.find((d) => d.name === 'x');
  const edge = all.edges.find((e) => e.decky_uuid === x.uuid && e.lan_id === net.inner.id);
  assert.deepEqual([edge.is_bridge, edge.forwards_l3, x.decky_config.forwards_l3], [true, true, true]);

  await refuse('decky or LAN not found', 'detach_decky', { decky: 'nobody', lan: 'inner' });
  await refuse('decky or LAN not found', 'detach_decky', { decky: 'x', lan: 'nowhere' });
  await refuse("cannot detach home LAN 'extra'; use remove_decky", 'detach_decky', { decky: 'x', lan: 'extra' });
  await refuse("decky not attached to LAN 'dmz'", 'detach_decky', { decky: 'x', lan: 'dmz' });
  await refuse("LAN 'extra' is the home LAN of decky 'x'; remove the decky first", 'remove_lan', { name: 'extra' });
  await refuse("LAN 'nowhere' not found", 'remove_lan', { name: 'nowhere' });
  await mutate(net, 'detach_decky', { decky: 'x', lan: 'inner' });
  assert.ok(!(await show(net.id)).edges.some((e) => e.id === edge.id));

  await refuse("decky 'nobody' not found", 'update_decky', { decky: 'nobody' });
  await refuse("cannot promote decky 'db' to gateway: home LAN 'inner' is not a DMZ", 'update_decky', { decky: 'db', patch: { forwards_l3: true } });
  await refuse("forwards_l3 flip on live decky 'web' requires force=true", 'update_decky', { decky: 'web', patch: { forwards_l3: true } });
  await refuse("forwards_l3 flip on live decky 'web' requires force=true", 'update_decky', { decky: 'web', patch: { forwards_l3: true }, force: false });
  await mutate(net, 'update_decky', { decky: 'web', patch: { forwards_l3: true }, force: true });
  await mutate(net, 'update_decky', { decky: 'web' });
  await mutate(net, 'update_decky', { decky: 'web', services: ['http', 'redis'], patch: { archetype: 'web-server', service_config: { http: { response_code: 404 } } }, x: 9 });
  all = await show(net.id);
  const web = all.deckies.find((d) => d.name === 'web');
  assert.deepEqual([web.services, web.x, web.decky_config.archetype, web.decky_config.forwards_l3, web.decky_config.service_config], [['http', 'redis'], 9, 'web-server', true, { http: { response_code: 404 } }]);
  assert.deepEqual(web.endpoints.map((e) => e.service).sort(), ['http', 'http', 'redis']);
  for (const e of web.endpoints) assert.ok(await open(e), JSON.stringify(e));

  await refuse("LAN 'nowhere' not found", 'update_lan', { name: 'nowhere' });
  await refuse("LAN 'DMZ' already exists", 'update_lan', { name: 'inner', patch: { name: 'DMZ' } });
  await refuse("cannot change ['subnet'] on a deployed LAN; teardown + redeploy required", 'update_lan', { name: 'inner', patch: { subnet: '10.70.0.0/24' } });
  await refuse("cannot change ['is_dmz'] on a deployed LAN; teardown + redeploy required", 'update_lan', { name: 'inner', patch: { is_dmz: true } });
  await refuse("cannot change ['is_dmz', 'subnet'] on a deployed LAN; teardown + redeploy required", 'update_lan', { name: 'inner', patch: { subnet: '10.70.0.0/24', is_dmz: true } });
  await mutate(net, 'update_lan', { name: 'inner', patch: { name: 'core', subnet: net.inner.subnet, is_dmz: false }, x: 4, y: 5 });
  all = await show(net.id);
  assert.deepEqual(all.lans.filter((l) => l.id === net.inner.id).map((l) => [l.name, l.x, l.y]), [['core', 4, 5]]);
  assert.deepEqual(Object.keys(all.deckies.find((d) => d.name === 'db').decky_config.ips_by_lan), ['core']);
  assert.deepEqual(all.deckies.find((d) => d.name === 'db').endpoints.map((e) => e.lan), ['core']);

  await refuse("decky 'nobody' not found", 'remove_decky', { decky: 'nobody' });
  const was = x.endpoints[0];
  await mutate(net, 'remove_decky', { decky: 'x' });
  await mutate(net, 'remove_lan', { name: 'extra' });
  all = await show(net.id);
  assert.ok(!all.deckies.some((d) => d.name === 'x') && !all.lans.some((l) => l.name === 'extra'));
  assert.equal(await open(was), false);
  const { data, total } = await queue(net.id, '?limit=500');
  fits({ data, total, limit: 500, offset: 0 }, envelope(ROW.mutation));
  assert.ok(data.every((m) => m.state === 'applied' && m.reason === null && m.applied_at !== null));
  for (let i = 1; i < data.length; i++) assert.ok(data[i - 1].requested_at >= data[i].requested_at, 'newest first');
  assert.equal((await queue(net.id, '?state=applied&limit=1&offset=1')).data[0].id, data[1].id);
  assert.equal((await show(net.id)).topology.status, 'active');
});

test('an op is checked against what the queue will leave; cancelling; versions', async () => {
  const net = await network();
  await stopped('decnet-mutator', async () => {
    const v = (await show(net.id)).topology.version;
    const enqueue = (op, payload, expected_version) => admin.expect(202, 'POST', `${net.at}/mutations`, { op, payload, expected_version });
    const one = await enqueue('add_lan', { name: 'new' }, v);
    fits(one, { mutation_id: uuid, state: value('pending'), version: int });
    assert.equal(one.version, v + 1);
    const two = await enqueue('add_decky', { name: 'n', lan: 'new' }, v + 1);
    const three = await enqueue('remove_decky', { decky: 'web' }, v + 2);
    await answers(409, "decky 'web' not found", 'POST', `${net.at}/mutations`, { op: 'update_decky', payload: { decky: 'web' } });
    await answers(409, "LAN 'NEW' already exists", 'POST', `${net.at}/mutations`, { op: 'add_lan', payload: { name: 'NEW' } });
    await answers(409, `Version conflict: expected ${v}, current ${v + 3}`, 'POST', `${net.at}/mutations`, { op: 'add_lan', payload: { name: 'z' }, expected_version: v });
    await answers(409, `mutation '${one.mutation_id}' is needed by queued mutation '${two.mutation_id}'`, 'DELETE', `${net.at}/mutations/${one.mutation_id}`);
    await answers(409, `Version conflict: expected 1, current ${v + 3}`, 'DELETE', `${net.at}/mutations/${three.mutation_id}?expected_version=1`);
    await admin.expect(204, 'DELETE', `${net.at}/mutations/${three.mutation_id}?expected_version=${v + 3}`);
    await answers(409, "Mutation is 'cancelled'; only 'pending' mutations can be cancelled.", 'DELETE', `${net.at}/mutations/${three.mutation_id}`);
    assert.equal((await show(net.id)).topology.version, v + 4, 'a cancel counts one');
    const row = (await queue(net.id, '?state=cancelled')).data[0];
    assert.deepEqual([row.id, row.reason, row.state], [three.mutation_id, 'cancelled', 'cancelled']);
    await answers(404, 'Mutation not found', 'DELETE', `/topologies/${(await admin.expect(201, 'POST', '/topologies/blank', { name: 'not-mine' })).id}/mutations/${one.mutation_id}`);
  });
  await idle(net.id);
  const { deckies } = await show(net.id);
  assert.deepEqual(deckies.map((d) => d.name).sort(), ['db', 'dmz-gateway', 'n', 'web']);
  await answers(409, "Mutation is 'applied'; only 'pending' mutations can be cancelled.", 'DELETE', `${net.at}/mutations/${(await queue(net.id, '?state=applied')).data[0].id}`);
});

test('teardown cancels what waits, in its transaction', async () => {
  const net = await network();
  const viewer = new Viewer(suite.url, `${net.at}/events`, { token: admin.token });
  await viewer.event('snapshot');
  await stopped('decnet-mutator', async () => {
    for (let i = 0; i < 3; i++) await admin.expect(202, 'POST', `${net.at}/mutations`, { op: 'add_lan', payload: { name: `l${i}` } });
    await admin.expect(202, 'POST', `${net.at}/teardown`);
    const { data } = await queue(net.id);
    assert.deepEqual(data.map((m) => m.state), ['cancelled', 'cancelled', 'cancelled']);
  });
  await status(net.id, 'torn_down');
  await viewer.wait('the end', (f) => f.event === 'status' && f.data.payload.status === 'torn_down');
  const names = viewer.frames.map((f) => (f.event === 'status' ? f.data.payload.status : f.event)).filter((n) => n && n !== 'snapshot' && !n.startsWith('decky'));
  assert.deepEqual(names.slice(0, 7), [...Array(3).fill('mutation.enqueued'), ...Array(3).fill('mutation.cancelled'), 'tearing_down']);
  viewer.cut();
});

test('order within a topology, topologies side by side, through kill -9 of the mutator', async () => {
  const nets = [await network(), await network(), await network()];
  const wanted = new Map(nets.map((n) => [n.id, []]));
  for (let i = 0; i < 12; i++) {
    for (const net of nets) wanted.get(net.id).push((await admin.expect(202, 'POST', `${net.at}/mutations`, { op: 'add_decky', payload: { name: `d${i}`, lan: 'inner', services: ['redis'] } })).mutation_id);
    if (i % 4 === 1) await suite.kill('decnet-mutator');
  }
  for (const net of nets) {
    await idle(net.id);
    const { data } = await queue(net.id, '?limit=500');
    assert.deepEqual(data.map((m) => m.id).reverse(), wanted.get(net.id), 'the list is in order');
    assert.deepEqual([...new Set(data.map((m) => m.state))], ['applied'], JSON.stringify(data.find((m) => m.state !== 'applied')));
    const ends = data.map((m) => m.applied_at).reverse();
    assert.deepEqual(ends, [...ends].sort(), 'applied in order');
    const { deckies } = await show(net.id);
    assert.equal(deckies.length, 15);
    for (const e of deckies.flatMap((d) => d.endpoints)) assert.ok(await open(e));
  }
});

test(`one of eight: ${ROUNDS} rounds with the same expected_version`, async () => {
  const net = await network();
  const clients = Array.from({ length: 8 }, () => new Api(suite.url, admin.token));
  let { version } = (await show(net.id)).topology;
  for (let round = 0; round < ROUNDS; round++) {
    const got = await Promise.all(clients.map((c, i) => c.post(`${net.at}/mutations`, { op: 'update_lan', payload: { name: 'inner', x: round * 8 + i }, expected_version: version })));
    const won = got.filter((r) => r.status === 202);
    assert.equal(won.length, 1, `round ${round}: ${got.map((r) => r.status)}`);
    assert.equal(won[0].body.version, version + 1);
    for (const r of got.filter((x) => x.status !== 202)) assert.deepEqual([r.status, r.body], [409, { detail: `Version conflict: expected ${version}, current ${version + 1}` }]);
    version += 1;
  }
  await idle(net.id);
  assert.equal((await show(net.id)).topology.version, version);
  assert.equal((await queue(net.id)).total, ROUNDS);
});

test('live services: bodies, texts, events', async () => {
  const net = await network();
  const at = `${net.at}/deckies/web/services`;
  const viewer = new Viewer(suite.url, `${net.at}/events`, { token: admin.token });
  await viewer.event('snapshot');
  const both = { decky_name: 'web', topology_id: net.id };
  assert.deepEqual(await admin.expect(201, 'POST', at, { name: 'redis' }), { ...both, services: ['http', 'redis'] });
  assert.deepEqual((await viewer.event('decky.service_added')).data.payload, { ...both, service_name: 'redis', services: ['http', 'redis'] });
  assert.deepEqual(await admin.expect(201, 'POST', at, { name: 'telnet', config: {}, expected_version: (await show(net.id)).topology.version }), { ...both, services: ['http', 'redis', 'telnet'] });
  const conf = { ...both, service_name: 'http' };
  assert.deepEqual(await admin.expect(200, 'PUT', `${at}/http/config`, { config: { response_code: '403', fake_app: '', server_header: null } }), { ...conf, config: { response_code: 403 }, recreated: false });
  assert.deepEqual((await viewer.event('decky.service_config_changed')).data.payload, { ...conf, service_config: { response_code: 403 }, recreated: false });
  assert.deepEqual(await admin.expect(201, 'POST', `${at}/http/apply`, { config: { custom_body: 'b64:aGVsbG8=', http_versions: ['http/2', 'http/1.1', 'http/2'] } }), { ...conf, config: { custom_body: 'hello', http_versions: ['http/2', 'http/1.1'] }, recreated: true });
  await viewer.wait('the restart is told', (f) => f.event === 'decky.service_config_changed' && f.data.payload.recreated === true);
  let web = (await show(net.id)).deckies.find((d) => d.name === 'web');
  assert.deepEqual(web.decky_config.service_config.http, { custom_body: 'hello', http_versions: ['http/2', 'http/1.1'] });
  const e = web.endpoints.find((x) => x.service === 'http');
  await eventually('the page is the new one', async () => (await (await fetch(`http://${e.address}:${e.port}/`)).text()) === 'hello');
  assert.deepEqual(await admin.expect(200, 'DELETE', `${at}/http`), { ...both, services: ['redis', 'telnet'] });
  assert.deepEqual((await viewer.event('decky.service_removed')).data.payload, { ...both, service_name: 'http', services: ['redis', 'telnet'] });
  web = (await show(net.id)).deckies.find((d) => d.name === 'web');
  assert.equal(web.decky_config.service_config.http, undefined);
  assert.equal(await open(e), false);
  assert.deepEqual((await queue(net.id)).data.map((m) => m.op), ['service_remove', 'service_config', 'service_config', 'service_add', 'service_add']);

  const field = async (code, text, method, path, body, fields) => {
    const res = await answers(code, text, method, path, body);
    if (fields) assert.deepEqual(res.errors.map((x) => x.field), fields);
  };
  for (const [method, tail, body] of [['POST', '', { name: 'http' }], ['DELETE', '/http'], ['PUT', '/http/config', { config: {} }], ['POST', '/http/apply', { config: {} }]]) {
    await field(404, `topology '${NOBODY}' not found`, method, `/topologies/${NOBODY}/deckies/web/services${tail}`, body);
    await field(404, "topology 'x' not found", method, `/topologies/x/deckies/web/services${tail}`, body);
    await field(404, `decky 'nobody' is not in topology '${net.id}'`, method, `${net.at}/deckies/nobody/services${tail}`, body);
    await field(404, `decky '${web.uuid}' is not in topology '${net.id}'`, method, `${net.at}/deckies/${web.uuid}/services${tail}`, body);
    const still = (await admin.expect(200, 'GET', '/topologies?status=pending&limit=1')).data[0];
    await field(409, "Topology is 'pending'; services can only be changed live on 'active' or 'degraded' topologies.", method, `/topologies/${still.id}/deckies/dmz-gateway/services${tail}`, body);
  }
  await field(409, "service 'redis' already on decky 'web'", 'POST', at, { name: 'redis' });
  for (const [method, tail, body] of [['DELETE', '/http'], ['DELETE', '/nothing'], ['PUT', '/http/config', { config: {} }], ['POST', '/http/apply', { config: {} }]]) await field(409, `service '${tail.split('/')[1]}' not on decky 'web'`, method, at + tail, body);
  await field(422, "unknown service 'nothing'", 'POST', at, { name: 'nothing' }, ['name']);
  await field(422, "service 'ssh' is not available in this build", 'POST', at, { name: 'ssh' }, ['name']);
  const http = (config) => ['POST', at, { name: 'http', config }];
  for (const [config, text] of [
    [{ colour: 1 }, 'colour: unknown config key'], [{ response_code: 'many' }, "response_code: expected int, got 'many'"], [{ response_code: 1.5 }, "response_code: expected int, got '1.5'"],
    [{ response_code: true }, "response_code: expected int, got 'true'"], [{ response_code: [] }, "response_code: expected int, got '[]'"], [{ fake_app: 'x' }, "fake_app: 'x' not in allowed values [none, wordpress, phpmyadmin, tomcat, jenkins]"],
    [{ http_versions: ['x'] }, "http_versions: 'x' not in allowed values [http/1.1, http/2]"], [{ custom_body: 'b64:!' }, 'custom_body: invalid base64'], [{ custom_body: 'x'.repeat(65537) }, 'custom_body: too long'],
    [{ server_header: 'x'.repeat(256) }, 'server_header: too long'], [{ server_header: 'ä'.repeat(128) }, 'server_header: too long'],
  ]) await field(422, text, ...http(config), [`config.${Object.keys(config)[0]}`]);
  await field(422, 'colour: unknown config key', ...http({ colour: 1, shape: 2 }), ['config.colour', 'config.shape']);
  await field(409, `Version conflict: expected 1, current ${(await show(net.id)).topology.version}`, 'POST', at, { name: 'http', expected_version: 1 });
  viewer.cut();
});

test('live services while the mutator is away: 202 after five seconds, then the outcome by the list', async () => {
  const net = await network();
  const body = await stopped('decnet-mutator', async () => answers(202, undefined, 'POST', `${net.at}/deckies/web/services`, { name: 'redis' }));
  fits(body, { mutation_id: uuid, state: value('pending', 'applying') });
  await idle(net.id);
  assert.equal((await queue(net.id)).data.find((m) => m.id === body.mutation_id).state, 'applied');
});

test('a payload is kept as it was given, great numbers too', async () => {
  const net = await network();
  await admin.expect(202, 'POST', `${net.at}/mutations`, { op: 'update_lan', payload: { name: 'inner', x: 1e20 } });
  await idle(net.id);
  const [row] = (await queue(net.id)).data;
  fits(row, ROW.mutation);
  fits(row.payload, object);
  assert.deepEqual(row.payload, { name: 'inner', x: 1e20 });
  assert.equal((await show(net.id)).lans.find((l) => l.name === 'inner').x, 1e20);
});
