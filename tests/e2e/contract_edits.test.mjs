// SPDX-License-Identifier: Apache-2.0
// Topologies while nobody lives in them: rows, names, addresses, the generator, direct edits, versions and every code of an issue.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { NOBODY, ROW, bool, detail, envelope, fits, int, listOf, maybe, object, refused, str, value } from './lib/contract.mjs';
import { sql } from './lib/store.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite } from './lib/suite.mjs';

let suite, admin, names = 0;

before(async () => {
  suite = await Suite.start();
  admin = await Api.admin(suite);
});

after(async () => {
  await suite?.stop();
});

const fresh = (prefix = 't') => `${prefix}-${names++}`;
const blank = async () => (await admin.expect(201, 'POST', '/topologies/blank', { name: fresh() })).id;
const show = (id) => admin.expect(200, 'GET', `/topologies/${id}`);
const version = async (id) => (await show(id)).topology.version;

/** A call that must be answered so; `fields` for 422. */
async function answers(status, text, method, path, body, fields) {
  const res = await admin.call(method, path, body);
  assert.equal(res.status, status, `${method} ${path} ${JSON.stringify(body)?.slice(0, 100)}: ${res.status} ${JSON.stringify(res.body)}`);
  if (text !== undefined) assert.equal(res.body?.detail, text, `${method} ${path} ${JSON.stringify(body)?.slice(0, 100)}`);
  if (fields) assert.deepEqual([...new Set(res.body.errors.map((e) => e.field))], fields);
  else if (status >= 400 && !res.body.issues) assert.deepEqual(Object.keys(res.body), status === 422 ? ['detail', 'errors'] : ['detail']);
  return res.body;
}

test('blank: one LAN, its gateway, one edge', async () => {
  const row = await admin.expect(201, 'POST', '/topologies/blank', { name: 'blank' });
  fits(row, ROW.topology);
  assert.deepEqual([row.name, row.mode, row.target_host, row.status, row.version, row.needs_resync], ['blank', 'unihost', null, 'pending', 1, false]);
  const all = await show(row.id);
  fits(all, detail);
  assert.deepEqual(all.topology, row);
  const { lans: [lan], deckies: [decky], edges: [edge] } = all;
  assert.deepEqual([all.lans.length, all.deckies.length, all.edges.length], [1, 1, 1]);
  assert.deepEqual([lan.name, lan.is_dmz, lan.x, lan.y], ['dmz', true, 40, 40]);
  assert.match(lan.subnet, /^172\.16\.\d+\.0\/24$/);
  const ip = lan.subnet.replace('.0/24', '.2');
  assert.deepEqual([decky.name, decky.services, decky.x, decky.y, decky.home_lan_id, decky.ip, decky.state, decky.last_error, decky.endpoints], ['dmz-gateway', ['ssh'], 20, 60, lan.id, ip, 'pending', null, []]);
  assert.deepEqual(decky.decky_config, { name: 'dmz-gateway', archetype: 'deaddeck', forwards_l3: true, ips_by_lan: { dmz: ip }, service_config: {} });
  assert.deepEqual([edge.decky_uuid, edge.lan_id, edge.ip, edge.is_bridge, edge.forwards_l3], [decky.uuid, lan.id, ip, true, true]);
  await answers(409, "A topology named 'blank' already exists.", 'POST', '/topologies/blank', { name: 'blank' });
  await answers(409, "A topology named 'blank' already exists.", 'POST', '/topologies', { name: 'blank', depth: 1, branching_factor: 1 });
});

test('names of topologies: 1..64 characters, any but control characters', async () => {
  for (const name of ['x', 'ä'.repeat(64), '🦊', ' a ', 'Blank', "o'; DROP TABLE topologies; --", '%s%n', '"\\', '<b>&amp;']) {
    const row = await admin.expect(201, 'POST', '/topologies/blank', { name });
    assert.equal(row.name, name);
    await admin.expect(204, 'DELETE', `/topologies/${row.id}`);
  }
  for (const name of ['', 'ä'.repeat(65), 'a\tb', '\u0085', '\u009f']) await answers(422, undefined, 'POST', '/topologies/blank', { name }, ['name']);
});

test('host pairing', async () => {
  for (const [path, more] of [['/topologies/blank', {}], ['/topologies', { depth: 1, branching_factor: 1 }]]) {
    await answers(422, "target_host is only valid when mode='agent'", 'POST', path, { name: 'h', target_host: 'h', ...more });
    await answers(422, "target_host is only valid when mode='agent'", 'POST', path, { name: 'h', mode: 'unihost', target_host: 'h', ...more });
    await answers(422, "mode='agent' requires target_host", 'POST', path, { name: 'h', mode: 'agent', ...more });
    await answers(422, "mode='agent' requires target_host", 'POST', path, { name: 'h', mode: 'agent', target_host: null, ...more });
    await answers(422, "unknown sensor host 'nobody'", 'POST', path, { name: 'h', mode: 'agent', target_host: 'nobody', ...more });
  }
  const host = JSON.parse(suite.cli('--json', 'version')) && (await import('node:os')).hostname();
  const row = await admin.expect(201, 'POST', '/topologies/blank', { name: 'h', mode: 'agent', target_host: host });
  assert.deepEqual([row.mode, row.target_host], ['agent', host]);
  assert.equal(typeof row.needs_resync, 'boolean');
});

test('the list: envelope, order, filter, pages', async () => {
  for (let i = 0; i < 3; i++) await blank();
  const all = await admin.expect(200, 'GET', '/topologies?limit=500');
  fits(all, envelope(ROW.topology));
  assert.deepEqual([all.limit, all.offset, all.total], [500, 0, all.data.length]);
  for (let i = 1; i < all.data.length; i++) assert.ok(all.data[i - 1].created_at >= all.data[i].created_at);
  const page = await admin.expect(200, 'GET', '/topologies/?limit=2&offset=1');
  assert.deepEqual([page.limit, page.offset, page.total, page.data], [2, 1, all.total, all.data.slice(1, 3)]);
  assert.deepEqual((await admin.expect(200, 'GET', '/topologies?offset=2147483647')).data, []);
  assert.equal((await admin.expect(200, 'GET', '/topologies')).limit, 50);
  for (const status of ['pending', 'deploying', 'active', 'degraded', 'failed', 'tearing_down', 'torn_down']) {
    const some = await admin.expect(200, 'GET', `/topologies?status=${status}`);
    assert.equal(some.total, all.data.filter((t) => t.status === status).length, status);
  }
  for (const path of ['', '/issues', '/status-events', '/mutations']) {
    const res = await admin.get(`/topologies/${all.data[0].id}${path}`);
    assert.ok(Number.isInteger(res.watermark), path);
    await answers(404, 'Topology not found', 'GET', `/topologies/${NOBODY}${path}`);
  }
});

test('the catalogue', async () => {
  const ports = listOf(int);
  const { services, ...rest } = await admin.expect(200, 'GET', '/topologies/services');
  assert.deepEqual(rest, { fleet_singletons: [] });
  fits(services, listOf({ name: str, available: bool, ports, tcp_ports: ports, udp_ports: ports }));
  assert.deepEqual(services.map((s) => s.name), services.map((s) => s.name).sort());
  const WANT = 'conpot 502 161u 80 · dns 53+u · docker_api 2375 2376 · elasticsearch 9200 · ftp 21 · http 80 443 · https 443 · imap 143 993 · k8s 6443 8080 · ldap 389 636 · llmnr 5355u 5353u · mongodb 27017 · mqtt 1883 · mssql 1433 · mysql 3306 · pop3 110 995 · postgres 5432 · rdp 3389 · redis 6379 · sip 5060+u · smb 445 139 · smtp 25 587 · smtp_relay 25 587 · snmp 161u · ssh 22 · telnet 23 · tftp 69u · vnc 5900';
  for (const row of WANT.split(' · ')) {
    const [name, ...list] = row.split(' ');
    const got = services.find((s) => s.name === name);
    const number = (p) => parseInt(p, 10);
    assert.deepEqual(got.ports, list.map(number), name);
    assert.deepEqual(got.tcp_ports, list.filter((p) => !/^\d+u/.test(p)).map(number), name);
    assert.deepEqual(got.udp_ports, list.filter((p) => /u$/.test(p)).map(number), name);
    const schema = await admin.expect(200, 'GET', `/topologies/services/${name}/schema`);
    fits(schema, {
      name: value(name), available: value(got.available), ports, tcp_ports: ports, udp_ports: ports, fleet_singleton: value(false),
      fields: listOf({ key: str, label: str, type: value('string', 'password', 'textarea', 'int', 'bool', 'enum', 'multi_enum'), default: () => {}, secret: bool, help: str, enum: maybe(listOf(str)), placeholder: maybe(str) }),
    });
    assert.equal(schema.fields.length > 0, ['dns', 'http', 'https', 'mysql', 'rdp', 'redis', 'smtp', 'smtp_relay', 'ssh', 'telnet'].includes(name), `fields of ${name}`);
  }
  assert.equal(services.length, WANT.split(' · ').length);
  for (const name of ['nothing', 'HTTP', 'x'.repeat(64)]) await answers(404, `Unknown service: '${name}'`, 'GET', `/topologies/services/${name}/schema`);
  const { archetypes } = await admin.expect(200, 'GET', '/topologies/archetypes');
  fits(archetypes, listOf({ slug: str, display_name: str, description: str, services: listOf(str), preferred_distros: listOf(str), nmap_os: value('linux', 'windows', 'windows_server', 'embedded') }));
  const slugs = 'windows-workstation, windows-server, domain-controller, linux-server, web-server, database-server, mail-server, file-server, printer, iot-device, industrial-control, voip-server, monitoring-node, devops-host, deaddeck';
  assert.deepEqual(archetypes.map((a) => a.slug).sort(), slugs.split(', ').sort());
});

test('free subnets and addresses', async () => {
  const id = await blank();
  const at = `/topologies/${id}`;
  const { subnet } = await admin.expect(200, 'GET', '/topologies/next-subnet');
  assert.match(subnet, /^172\.16\.\d+\.0\/24$/);
  assert.equal((await admin.expect(201, 'POST', `${at}/lans`, { name: 'first' })).subnet, subnet, 'the hint is what is taken next');
  assert.deepEqual(await admin.expect(200, 'GET', '/topologies/next-subnet?base=10.7'), { subnet: '10.7.0.0/24' });
  assert.deepEqual(await admin.expect(200, 'GET', '/topologies/next-subnet?base=10.8.3.0/24'), { subnet: '10.8.3.0/24' });
  await admin.expect(201, 'POST', `${at}/lans`, { name: 'a', subnet: '10.8.3.128/25' });
  await answers(409, 'no free /24s left under 10.8.3.0/24', 'GET', '/topologies/next-subnet?base=10.8.3.0/24');
  assert.deepEqual(await admin.expect(200, 'GET', '/topologies/next-subnet?base=10.8.2.0/23'), { subnet: '10.8.2.0/24' });
  await admin.expect(201, 'POST', `${at}/lans`, { name: 'b', subnet: '10.8.0.0/23' });
  assert.deepEqual(await admin.expect(200, 'GET', '/topologies/next-subnet?base=10.8'), { subnet: '10.8.2.0/24' });

  const tiny = await admin.expect(201, 'POST', `${at}/lans`, { name: 'tiny', subnet: '10.9.0.8/29' });
  const next = (lan) => `${at}/lans/${lan}/next-ip`;
  const deckies = [];
  for (let i = 10; i < 15; i++) {
    assert.deepEqual(await admin.expect(200, 'GET', next(tiny.id)), { subnet: '10.9.0.8/29', ip: `10.9.0.${i}` });
    assert.deepEqual(await admin.expect(200, 'GET', next(tiny.id)), { subnet: '10.9.0.8/29', ip: `10.9.0.${i}` }, 'nothing is reserved');
    const d = await admin.expect(201, 'POST', `${at}/deckies`, { name: `d${i}` });
    const e = await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: d.uuid, lan_id: tiny.id });
    assert.equal(e.ip, `10.9.0.${i}`);
    deckies.push({ d, e });
  }
  await answers(409, 'no free IPs left in 10.9.0.8/29', 'GET', next(tiny.id));
  const more = await admin.expect(201, 'POST', `${at}/deckies`, { name: 'more' });
  await answers(409, 'no free IPs left in 10.9.0.8/29', 'POST', `${at}/edges`, { decky_uuid: more.uuid, lan_id: tiny.id });
  await admin.expect(204, 'DELETE', `${at}/edges/${deckies[1].e.id}`);
  assert.equal((await admin.expect(200, 'GET', next(tiny.id))).ip, '10.9.0.11', 'the lowest free one');
  await answers(404, 'LAN not found', 'GET', next(NOBODY));
  await answers(404, 'LAN not found', 'GET', next('x'));
  await answers(404, 'Topology not found', 'GET', `/topologies/${NOBODY}/lans/${tiny.id}/next-ip`);
  const other = await blank();
  await answers(404, 'LAN not found', 'GET', `/topologies/${other}/lans/${tiny.id}/next-ip`);
});

test('subnets that cannot be', async () => {
  const id = await blank();
  const at = `/topologies/${id}`;
  const { topology, lans: [dmz] } = await show(id);
  for (const s of ['x', '10.0.0.0', '10.0.0.0/8', '10.0.0.0/15', '10.0.0.0/30', '10.0.0.0/32', '10.0.0.1/24', '10.0.0.0/24 ', '10.0.0/24', '10.0.0.0/024', '256.0.0.0/16', '0.0.0.0/16', '127.0.0.0/24', '224.0.0.0/24', '10.0.0.0/-1', 'fd00::/64', '010.0.0.0/16'])
    await answers(422, `subnet '${s}' is malformed`, 'POST', `${at}/lans`, { name: 'a', subnet: s }, ['subnet']);
  for (const s of ['x', '10.0.0.0/30', '10.0.0.1/24']) await answers(422, `subnet '${s}' is malformed`, 'PATCH', `${at}/lans/${dmz.id}`, { subnet: s }, ['subnet']);
  const [a, b] = dmz.subnet.split('.').slice(1, 3);
  for (const s of [dmz.subnet, `172.${a}.${b}.128/25`, `172.${a}.${b}.8/29`]) await answers(409, `subnet ${s} overlaps LAN 'dmz' of topology '${topology.name}'`, 'POST', `${at}/lans`, { name: 'a', subnet: s });
  const other = await blank();
  await answers(409, `subnet ${dmz.subnet} overlaps LAN 'dmz' of topology '${topology.name}'`, 'POST', `/topologies/${other}/lans`, { name: 'a', subnet: dmz.subnet });
  assert.equal((await admin.expect(200, 'PATCH', `${at}/lans/${dmz.id}`, { subnet: `172.${a}.${b}.0/25` })).subnet, `172.${a}.${b}.0/25`, 'its own old subnet is no obstacle');
  for (const bits of [16, 29]) assert.equal((await admin.expect(201, 'POST', `${at}/lans`, { name: `w${bits}`, subnet: `10.${bits}.0.0/${bits}` })).subnet, `10.${bits}.0.0/${bits}`);
});

test('LANs: rows, names, new addresses', async () => {
  const id = await blank();
  const at = `/topologies/${id}`;
  const lan = await admin.expect(201, 'POST', `${at}/lans`, { name: 'Inner_1-a', subnet: '10.20.0.0/24', x: 1.5, y: -2 });
  fits(lan, ROW.lan);
  assert.deepEqual(lan, { id: lan.id, topology_id: id, name: 'Inner_1-a', subnet: '10.20.0.0/24', is_dmz: false, x: 1.5, y: -2 });
  await answers(409, "LAN 'INNER_1-A' already exists", 'POST', `${at}/lans`, { name: 'INNER_1-A' });
  await answers(409, "LAN 'DMZ' already exists", 'PATCH', `${at}/lans/${lan.id}`, { name: 'DMZ' });
  assert.equal((await admin.expect(200, 'PATCH', `${at}/lans/${lan.id}`, { name: 'INNER_1-A' })).name, 'INNER_1-A', 'its own name in another case');
  assert.equal((await admin.expect(201, 'POST', `${at}/lans`, { name: `${'a'.repeat(63)}_` })).name.length, 64);
  const d = await admin.expect(201, 'POST', `${at}/deckies`, { name: 'a' });
  const e = await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: d.uuid, lan_id: lan.id, ip: '10.20.0.200' });
  const f = await admin.expect(201, 'POST', `${at}/deckies`, { name: 'b' });
  await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: f.uuid, lan_id: lan.id, ip: '10.20.0.9' });
  let v = await version(id);
  const moved = await admin.expect(200, 'PATCH', `${at}/lans/${lan.id}`, { subnet: '10.21.0.0/25', name: 'moved' });
  assert.deepEqual([moved.subnet, moved.name], ['10.21.0.0/25', 'moved']);
  let now = await show(id);
  assert.equal(now.topology.version, v + 1);
  assert.equal(now.edges.find((x) => x.id === e.id).ip, '10.21.0.2', 'its host part did not fit');
  assert.deepEqual(now.deckies.find((x) => x.name === 'b').decky_config.ips_by_lan, { moved: '10.21.0.9' }, 'its host part fits; the key follows the name');
  v = now.topology.version;
  await answers(409, "LAN 'moved' is the home LAN of decky 'a'; remove the decky first", 'DELETE', `${at}/lans/${lan.id}`);
  assert.equal(await version(id), v, 'a refusal counts nothing');
  await answers(404, `lan '${NOBODY}' not found`, 'PATCH', `${at}/lans/${NOBODY}`, {});
  await answers(404, "lan 'x' not found", 'PATCH', `${at}/lans/x`, {});
  await answers(404, 'LAN not found', 'DELETE', `${at}/lans/${NOBODY}`);
  const other = await blank();
  await answers(404, `lan '${lan.id}' not found`, 'PATCH', `/topologies/${other}/lans/${lan.id}`, {});
  await answers(404, 'LAN not found', 'DELETE', `/topologies/${other}/lans/${lan.id}`);
  now = await show(id);
  const second = now.lans.find((l) => l.name.startsWith('aaa'));
  const joint = await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: d.uuid, lan_id: second.id });
  await admin.expect(204, 'DELETE', `${at}/lans/${second.id}`);
  assert.ok(!(await show(id)).edges.some((x) => x.id === joint.id), 'edges go too');
});

test('deckies: rows, derived values, homes', async () => {
  const id = await blank();
  const at = `/topologies/${id}`;
  const { lans: [dmz] } = await show(id);
  const config = { archetype: 'web-server', forwards_l3: true, service_config: { http: { response_code: '404', fake_app: 'tomcat', server_header: '' } } };
  const d = await admin.expect(201, 'POST', `${at}/deckies`, { name: 'web-1', services: ['http', 'redis'], decky_config: config, x: 3, y: null });
  fits(d, ROW.decky);
  assert.deepEqual([d.name, d.services, d.home_lan_id, d.ip, d.state, d.x, d.y], ['web-1', ['http', 'redis'], null, null, 'pending', 3, null]);
  assert.deepEqual(d.decky_config, { name: 'web-1', archetype: 'web-server', forwards_l3: true, ips_by_lan: {}, service_config: { http: { response_code: 404, fake_app: 'tomcat' } } });
  await answers(409, "decky 'web-1' already exists", 'POST', `${at}/deckies`, { name: 'web-1' });
  const patch = (body) => admin.expect(200, 'PATCH', `${at}/deckies/${d.uuid}`, body);
  assert.equal((await patch({ decky_config: (await show(id)).deckies.find((x) => x.uuid === d.uuid).decky_config })).name, 'web-1', 'what is stored may be repeated');
  await answers(422, undefined, 'PATCH', `${at}/deckies/${d.uuid}`, { decky_config: { name: 'other' } }, ['decky_config.name']);
  await answers(422, undefined, 'PATCH', `${at}/deckies/${d.uuid}`, { decky_config: { ips_by_lan: { dmz: '1.2.3.4' } } }, ['decky_config.ips_by_lan']);
  await answers(422, "unknown service 'nothing'", 'PATCH', `${at}/deckies/${d.uuid}`, { services: ['nothing'] }, ['services.0']);
  await answers(422, "service 'ssh' is not available in this build", 'POST', `${at}/deckies`, { name: 'z', services: ['ssh'] }, ['services.0']);
  await answers(422, 'colour: unknown config key', 'POST', `${at}/deckies`, { name: 'z', services: ['http'], decky_config: { service_config: { http: { colour: 1 } } } }, ['decky_config.service_config.http.colour']);
  await answers(409, "decky 'dmz-gateway' already exists", 'PATCH', `${at}/deckies/${d.uuid}`, { name: 'dmz-gateway' });
  await answers(404, `decky '${NOBODY}' not found`, 'PATCH', `${at}/deckies/${NOBODY}`, {});
  await answers(404, 'Decky not found', 'DELETE', `${at}/deckies/${NOBODY}`);

  const inner = await admin.expect(201, 'POST', `${at}/lans`, { name: 'inner' });
  const away = await admin.expect(201, 'POST', `${at}/lans`, { name: 'away' });
  const edge = async (lan, more = {}) => admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: d.uuid, lan_id: lan.id, ...more });
  const one = await edge(inner);
  fits(one, ROW.edge);
  assert.deepEqual([one.is_bridge, one.forwards_l3], [false, false]);
  assert.equal((await show(id)).deckies.find((x) => x.uuid === d.uuid).home_lan_id, inner.id, 'the first edge sets the home');
  const two = await edge(dmz, { is_bridge: true, forwards_l3: true });
  assert.deepEqual([two.is_bridge, two.forwards_l3], [true, true]);
  await answers(409, "decky 'web-1' already on LAN 'dmz'", 'POST', `${at}/edges`, { decky_uuid: d.uuid, lan_id: dmz.id });
  await answers(422, 'home_lan_id is not a LAN of this decky', 'PATCH', `${at}/deckies/${d.uuid}`, { home_lan_id: away.id }, ['home_lan_id']);
  await answers(422, 'home_lan_id is not a LAN of this decky', 'PATCH', `${at}/deckies/${d.uuid}`, { home_lan_id: NOBODY }, ['home_lan_id']);
  const moved = await patch({ home_lan_id: dmz.id });
  assert.deepEqual([moved.home_lan_id, moved.ip, Object.keys(moved.decky_config.ips_by_lan)], [dmz.id, two.ip, ['dmz', 'inner']]);
  const three = await edge(away);
  await admin.expect(204, 'DELETE', `${at}/edges/${two.id}`);
  let now = (await show(id)).deckies.find((x) => x.uuid === d.uuid);
  assert.equal(now.home_lan_id, inner.id, 'the oldest edge left');
  await admin.expect(204, 'DELETE', `${at}/edges/${one.id}`);
  await admin.expect(204, 'DELETE', `${at}/edges/${three.id}`);
  now = (await show(id)).deckies.find((x) => x.uuid === d.uuid);
  assert.deepEqual([now.home_lan_id, now.ip], [null, null]);
  await answers(404, 'Edge not found', 'DELETE', `${at}/edges/${three.id}`);
  await edge(inner);
  await admin.expect(204, 'DELETE', `${at}/deckies/${d.uuid}`);
  assert.ok(!(await show(id)).edges.some((e) => e.decky_uuid === d.uuid), 'edges go too');
  await answers(404, 'Decky not found', 'DELETE', `${at}/deckies/${d.uuid}`);
});

test('edges: whom, where, which address', async () => {
  const id = await blank();
  const at = `/topologies/${id}`;
  const { lans: [dmz], deckies: [gate] } = await show(id);
  const d = await admin.expect(201, 'POST', `${at}/deckies`, { name: 'a' });
  const body = (more) => ({ decky_uuid: d.uuid, lan_id: dmz.id, ...more });
  const base = dmz.subnet.replace('.0/24', '');
  for (const u of [NOBODY, 'x', '', 'x'.repeat(64)]) await answers(422, `decky '${u}' not in topology '${id}'`, 'POST', `${at}/edges`, body({ decky_uuid: u }), ['decky_uuid']);
  for (const l of [NOBODY, 'x', '', 'x'.repeat(64)]) await answers(422, `lan '${l}' not in topology '${id}'`, 'POST', `${at}/edges`, body({ lan_id: l }), ['lan_id']);
  const other = await blank();
  const theirs = await show(other);
  await answers(422, `decky '${theirs.deckies[0].uuid}' not in topology '${id}'`, 'POST', `${at}/edges`, body({ decky_uuid: theirs.deckies[0].uuid }));
  await answers(422, `lan '${theirs.lans[0].id}' not in topology '${id}'`, 'POST', `${at}/edges`, body({ lan_id: theirs.lans[0].id }));
  await answers(422, `${base}.1 is the gateway of ${dmz.subnet}`, 'POST', `${at}/edges`, body({ ip: `${base}.1` }), ['ip']);
  for (const ip of ['10.99.0.2', 'x', `${base}.0`, `${base}.255`, `${base}.256`, `${base}.02`, `${base}`, `${base}.2.2`, '::1']) await answers(422, `${ip} not in ${dmz.subnet}`, 'POST', `${at}/edges`, body({ ip }), ['ip']);
  await answers(409, `${gate.ip} is already used on LAN 'dmz'`, 'POST', `${at}/edges`, body({ ip: gate.ip }));
  assert.equal((await admin.expect(201, 'POST', `${at}/edges`, body({ ip: `${base}.254` }))).ip, `${base}.254`);
  await answers(409, "decky 'a' already on LAN 'dmz'", 'POST', `${at}/edges`, body({ ip: `${base}.253` }));
});

test('versions: each edit counts one, a stale one is refused', async () => {
  const id = await blank();
  const at = `/topologies/${id}`;
  const { lans: [dmz], deckies: [gate], edges: [edge] } = await show(id);
  const d = await admin.expect(201, 'POST', `${at}/deckies`, { name: 'a', expected_version: 1 });
  const lan = await admin.expect(201, 'POST', `${at}/lans`, { name: 'a', expected_version: 2 });
  const e = await admin.expect(201, 'POST', `${at}/edges`, { decky_uuid: d.uuid, lan_id: dmz.id, expected_version: 3 });
  await admin.expect(200, 'PATCH', `${at}/lans/${lan.id}`, { x: 5, expected_version: 4 });
  await admin.expect(200, 'PATCH', `${at}/deckies/${d.uuid}`, { x: 5, expected_version: 5 });
  await admin.expect(204, 'DELETE', `${at}/edges/${e.id}?expected_version=6`);
  await admin.expect(204, 'DELETE', `${at}/deckies/${d.uuid}?expected_version=7`);
  await admin.expect(204, 'DELETE', `${at}/lans/${lan.id}?expected_version=8`);
  assert.equal(await version(id), 9);
  const stale = 'Version conflict: expected 3, current 9';
  for (const [method, path, body] of [
    ['POST', '/lans', { name: 'z' }], ['PATCH', `/lans/${dmz.id}`, {}], ['POST', '/deckies', { name: 'z' }], ['PATCH', `/deckies/${gate.uuid}`, {}],
    ['POST', '/edges', { decky_uuid: gate.uuid, lan_id: dmz.id }], ['POST', '/deploy', {}],
  ]) await answers(409, stale, method, at + path, { ...body, expected_version: 3 });
  for (const path of ['', `/lans/${dmz.id}`, `/deckies/${gate.uuid}`, `/edges/${edge.id}`]) await answers(409, stale, 'DELETE', `${at}${path}?expected_version=3`);
  assert.equal(await version(id), 9);
  await admin.expect(204, 'DELETE', `${at}?expected_version=9`);
  await answers(404, 'Topology not found', 'DELETE', at);
});

test('the generator: the plan, the seed, the ceilings', async () => {
  const make = async (body) => {
    const row = await admin.expect(201, 'POST', '/topologies', { name: fresh('gen'), ...body });
    fits(row, ROW.topology);
    return show(row.id);
  };
  const plain = (all) => {
    const lan = Object.fromEntries(all.lans.map((l) => [l.id, l.name]));
    const decky = Object.fromEntries(all.deckies.map((d) => [d.uuid, d.name]));
    return { deckies: all.deckies.map((d) => [d.name, d.services, d.decky_config.forwards_l3, lan[d.home_lan_id]]), edges: all.edges.map((e) => [decky[e.decky_uuid], lan[e.lan_id], e.is_bridge, e.forwards_l3]).sort() };
  };
  const body = { depth: 3, branching_factor: 2, seed: 7, cross_edge_probability: 0.5, bridge_forward_probability: 0.5 };
  const a = await make(body);
  const b = await make(body);
  assert.deepEqual(plain(a), plain(b), 'the same seed and body');
  assert.notDeepEqual(plain(a), plain(await make({ ...body, seed: 8 })));
  fits(a, detail);
  a.lans.forEach((l, i) => assert.deepEqual([l.name, l.is_dmz], [`LAN-${String(i).padStart(2, '0')}`, i === 0]));
  a.deckies.forEach((d, i) => assert.equal(d.name, `decky-${String(i).padStart(3, '0')}`));
  const { services } = await admin.expect(200, 'GET', '/topologies/services');
  const available = new Set(services.filter((s) => s.available).map((s) => s.name));
  for (const d of a.deckies) {
    assert.ok(d.services.length >= 1 && d.services.length <= 3 && d.services.every((s) => available.has(s)), d.services.join());
    const edges = a.edges.filter((e) => e.decky_uuid === d.uuid);
    const bridges = edges.filter((e) => e.is_bridge);
    assert.ok(edges.length === 1 || bridges.length > 0);
  }
  const { issues } = await admin.expect(200, 'GET', `/topologies/${a.topology.id}/issues`);
  assert.deepEqual(issues.filter((i) => i.severity === 'error'), [], 'what is generated can be deployed');
  assert.equal(a.deckies.filter((d) => d.home_lan_id === a.lans[0].id).length, 1, 'one in the DMZ');
  const tight = await make({ depth: 2, branching_factor: 1, deckies_per_lan_min: 4, deckies_per_lan_max: 4, services_explicit: ['telnet', 'http'], bridge_forward_probability: 0, seed: 0 });
  for (const l of tight.lans.slice(1)) assert.equal(tight.deckies.filter((d) => d.home_lan_id === l.id).length, 4);
  assert.ok(tight.deckies.every((d) => d.services.join() === 'telnet,http'));
  assert.ok(tight.edges.every((e) => !e.forwards_l3));
  const zero = await make({ depth: 2, branching_factor: 1, deckies_per_lan_min: 0, deckies_per_lan_max: 1, seed: 3 });
  for (const l of zero.lans) assert.ok(zero.deckies.some((d) => d.home_lan_id === l.id), 'at least one');
  const { total } = await admin.expect(200, 'GET', '/topologies');
  await answers(409, 'limit reached: lans (256)', 'POST', '/topologies', { name: 'too-wide', depth: 16, branching_factor: 8, seed: 1 });
  assert.equal((await admin.expect(200, 'GET', '/topologies')).total, total, 'nothing is stored');
});

test('a port of the gateway that is taken on the host is a warning', async () => {
  const id = await blank();
  const { lans: [lan], deckies: [gate] } = await show(id);
  await admin.expect(200, 'PATCH', `/topologies/${id}/deckies/${gate.uuid}`, { services: ['telnet'] });
  const plain = await admin.expect(201, 'POST', `/topologies/${id}/deckies`, { name: 'plain', services: ['redis'] });
  await admin.expect(201, 'POST', `/topologies/${id}/edges`, { decky_uuid: plain.uuid, lan_id: lan.id });
  const issues = async () => (await admin.expect(200, 'GET', `/topologies/${id}/issues`)).issues;
  assert.deepEqual(await issues(), []);
  for (const host of ['0.0.0.0', '::']) {
    const servers = await Promise.all([23, 6379].map((port) => new Promise((good, bad) => {
      const s = createServer().once('error', bad).listen({ port: port + Number(suite.env.DECNET_PORT_OFFSET), host }, () => good(s.unref()));
    })));
    const found = await issues();
    fits(found, listOf(ROW.issue));
    assert.deepEqual(found.map((i) => [i.severity, i.code, i.target]), [['warning', 'PORT_COLLISION', { decky: 'dmz-gateway' }]], 'the gateway alone, and it refuses nothing');
    for (const s of servers) await new Promise((good) => s.close(good));
  }
  assert.deepEqual(await issues(), []);
});

test('every code of an issue, from a topology that has it', async () => {
  const codes = async (id) => {
    const { issues } = await admin.expect(200, 'GET', `/topologies/${id}/issues`);
    fits(issues, listOf(ROW.issue));
    return [...new Set(issues.map((i) => i.code))].sort();
  };
  const UUID = (n) => `0195f000-0000-7000-8000-${String(n).padStart(12, '0')}`;
  const lan = (t, n, name, subnet, dmz = 0) => `INSERT INTO lans (id, topology_id, name, subnet, is_dmz) VALUES ('${UUID(n)}','${t}','${name}','${subnet}',${dmz});`;
  const decky = (t, n, name, services = '[]', config = '{}') => `INSERT INTO deckies (uuid, topology_id, name, services, forwards_l3, service_config, home_lan_id, state, endpoints) VALUES ('${UUID(n)}','${t}','${name}','${services}',0,'${config}',NULL,'pending','[]');`;
  const edge = (t, n, d, l, ip) => `INSERT INTO edges (id, topology_id, decky_uuid, lan_id, ip, is_bridge, forwards_l3) VALUES ('${UUID(n)}','${t}','${d}','${l}','${ip}',0,0);`;
  let n = 1000;
  // Those that no edit can make are put into the store behind its back.
  const cases = {
    LAN_NAME_DUP: (t) => lan(t.id, n++, 'DMZ', '10.50.0.0/24'),
    IP_OUT_OF_SUBNET: (t) => decky(t.id, n, 'x') + edge(t.id, n + 1, UUID(n++), t.lan, '10.99.0.2'),
    IP_MALFORMED: (t) => decky(t.id, n, 'x') + edge(t.id, n + 1, UUID(n++), t.lan, 'nowhere'),
    SUBNET_MALFORMED: (t) => lan(t.id, n++, 'x', '10.51.0.1/24'),
    SUBNET_OVERLAP: (t) => lan(t.id, n++, 'x', t.subnet),
    UNKNOWN_SERVICE: (t) => decky(t.id, n, 'x', '["nothing"]') + edge(t.id, n + 1, UUID(n++), t.lan, t.subnet.replace('0/24', '77')),
    SERVICE_CFG_UNDECLARED: (t) => decky(t.id, n, 'x', '["redis"]', '{"http":{}}') + edge(t.id, n + 1, UUID(n++), t.lan, t.subnet.replace('0/24', '78')),
    DMZ_MULTIPLE: (t) => lan(t.id, n++, 'x', '10.52.0.0/24', 1),
    SERVICE_PORT_DUP: (t) => decky(t.id, n, 'x', '["http","https"]') + edge(t.id, n + 1, UUID(n++), t.lan, t.subnet.replace('0/24', '79')),
    DECKY_ORPHAN: (t) => decky(t.id, n++, 'x'),
    DMZ_ORPHAN: (t) => lan(t.id, n++, 'x', `10.53.${n % 250}.0/24`),
    DMZ_MISSING: (t) => `UPDATE lans SET is_dmz = 0 WHERE id = '${t.lan}';`,
  };
  const warnings = new Set(['SERVICE_PORT_DUP', 'PORT_COLLISION', 'SERVICE_UNAVAILABLE']);
  const deployOnly = new Set(['DMZ_MISSING', 'DMZ_ORPHAN', 'DECKY_ORPHAN']);
  for (const [code, statement] of Object.entries(cases)) {
    const id = await blank();
    const { lans: [l] } = await show(id);
    sql(suite, statement({ id, lan: l.id, subnet: l.subnet }));
    n += 10;
    const got = await codes(id);
    assert.ok(got.includes(code), `${code} in ${got}`);
    const { issues } = await admin.expect(200, 'GET', `/topologies/${id}/issues`);
    assert.equal(issues.find((i) => i.code === code).severity, warnings.has(code) ? 'warning' : 'error', code);
    const edit = await admin.call('PATCH', `/topologies/${id}/lans/${l.id}`, { x: 1 });
    if (warnings.has(code) || deployOnly.has(code)) assert.equal(edit.status, 200, `${code} refuses no edit: ${JSON.stringify(edit.body)}`);
    else {
      const errors = [...new Set(edit.body.issues.filter((i) => i.severity === 'error').map((i) => i.code))].sort();
      assert.deepEqual([edit.status, edit.body.detail], [409, `post-apply validation failed for ${id}: ${errors.join(', ')}`]);
      fits(edit.body, { detail: str, issues: listOf(ROW.issue) });
      assert.ok(errors.includes(code));
    }
    const deploy = await admin.post(`/topologies/${id}/deploy`);
    if (warnings.has(code)) {
      fits(deploy.body, { ...ROW.topology, issues: listOf(ROW.issue) });
      assert.deepEqual([deploy.status, deploy.body.status], [202, 'deploying']);
      assert.ok(deploy.body.issues.every((i) => i.severity === 'warning') && deploy.body.issues.some((i) => i.code === code));
    } else {
      const errors = [...new Set(deploy.body.issues.filter((i) => i.severity === 'error').map((i) => i.code))].sort();
      assert.deepEqual([deploy.status, deploy.body.detail], [409, `Topology validation failed: ${errors.join(', ')}`], code);
      assert.ok(errors.includes(code), `${code} in ${errors}`);
      assert.equal((await show(id)).topology.status, 'pending');
      sql(suite, `DELETE FROM lans WHERE topology_id = '${id}' AND id <> '${l.id}';`);
    }
  }
});

test('edits of services make no hints that the broker refuses', async () => {
  const id = await blank();
  const { deckies: [gate] } = await show(id);
  const viewer = new Viewer(suite.url, `/topologies/${id}/events`, { token: admin.token });
  await viewer.event('snapshot');
  for (const services of [['telnet'], ['http', 'redis'], []]) await admin.expect(200, 'PATCH', `/topologies/${id}/deckies/${gate.uuid}`, { services });
  await admin.expect(200, 'PATCH', `/topologies/${id}/deckies/${gate.uuid}`, { services: ['http'], decky_config: { service_config: { http: { response_code: 404 } } } });
  await viewer.wait('the last of them is told', (f) => f.event === 'decky.service_added' && f.data.payload.services.join() === 'http');
  viewer.cut();
  assert.ok(!suite.log.includes('bus.refused'), suite.log.match(/.*bus\.refused.*/)?.[0]);
});
