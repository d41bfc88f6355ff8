// SPDX-License-Identifier: Apache-2.0
// Decoys of datagrams: a real SNMP client, rubbish, and the end of their process.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Api } from './lib/api.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const exec = promisify(execFile);
const NAME = '1.3.6.1.2.1.1.5.0';
let suite, admin, at;

before(async () => {
  suite = await Suite.start();
  suite.cli('demo');
  admin = await Api.admin(suite);
  const { id } = await admin.demoTopology();
  const res = await admin.post(`/topologies/${id}/mutations`, {
    op: 'add_decky', payload: { name: 'prn-9', lan: 'dmz', services: ['snmp'], archetype: 'printer' },
  });
  assert.equal(res.status, 202, JSON.stringify(res.body));
  at = await eventually('the decky runs', async () => {
    const { body } = await admin.get(`/topologies/${id}`);
    return body.deckies.find((d) => d.name === 'prn-9' && d.state === 'running')?.endpoints[0];
  });
});

after(async () => {
  await suite?.stop();
});

const snmp = (tool, ...args) => exec(tool, ['-t', '5', '-r', '1', '-On', ...args]);
const host = () => `${at.address}:${at.port}`;
const rows = async (search) => (await admin.get(`/logs?limit=200&search=${encodeURIComponent(search)}`)).body.data;

test('the endpoint is one of datagrams', () => {
  assert.equal(at.service, 'snmp');
  assert.equal(at.proto, 'udp');
});

test('net-snmp reads, walks and may not write', async () => {
  const one = await snmp('snmpget', '-v2c', '-c', 'public', host(), NAME);
  assert.match(one.stdout, /STRING: "?prn-9"?/);
  const walk = await snmp('snmpwalk', '-v1', '-c', 'public', host(), '1.3.6.1.2.1.1');
  assert.match(walk.stdout, /JETDIRECT|HP ETHERNET/);
  assert.equal(walk.stdout.trim().split('\n').length, 7);
  const bulk = await snmp('snmpbulkwalk', '-v2c', '-c', 'public', host(), '1.3.6.1.2.1.2.2');
  assert.match(bulk.stdout, /Counter32: \d+/);
  await assert.rejects(snmp('snmpset', '-v2c', '-c', 'public', host(), NAME, 's', 'mine'), /noAccess/);
});

test('what was tried is kept: words, commands, and rubbish as malformed', async () => {
  await assert.rejects(exec('snmpget', ['-t', '1', '-r', '0', '-v2c', '-c', 'wrong-word', host(), NAME]), /Timeout/);
  const rubbish = createSocket('udp4');
  await new Promise((good, bad) => rubbish.send('GET / HTTP/1.0\r\n\r\n', at.port, at.address, (e) => (e ? bad(e) : good())));
  rubbish.close();
  await eventually('the rubbish is kept', async () => (await rows('service:snmp event:malformed')).length > 0);
  const auth = (await rows('service:snmp event:auth')).map((r) => JSON.parse(r.fields));
  assert.ok(auth.some((f) => f.method === 'community' && f.ok === true), JSON.stringify(auth));
  assert.ok(auth.some((f) => f.password === 'wrong-word' && f.ok === false), JSON.stringify(auth));
  const commands = (await rows('service:snmp event:command')).map((r) => JSON.parse(r.fields).command);
  assert.ok(commands.includes(`set ${NAME}`), commands.join());
  assert.ok(!suite.log.includes('wrong-word'), 'no captured word in the log of the suite');
});

test('kill -9 of their process: the next one answers on the same port', async () => {
  await suite.kill('decnet-decoy --udp');
  await eventually('it answers again', async () => /prn-9/.test((await snmp('snmpget', '-v2c', '-c', 'public', host(), NAME)).stdout));
});

test('who has as many flows as one may have keeps nobody out for long', async () => {
  // Ports of one address stand for what may as well be made up.
  const many = Array.from({ length: 300 }, () => createSocket('udp4'));
  await Promise.all(many.map((s) => new Promise((good, bad) => s.send('x', at.port, at.address, (e) => (e ? bad(e) : good())))));
  many.forEach((s) => s.close());
  await eventually('some are refused', () => /decoy\.flow\.refused/.test(suite.log));
  // Before the flows end by themselves, after 30 s.
  await eventually('it answers again', async () => /prn-9/.test((await exec('snmpget', ['-t', '1', '-r', '0', '-On', '-v2c', '-c', 'public', host(), NAME])).stdout), 25000);
});

test('a decky that goes takes its port along', async () => {
  const { id } = await admin.demoTopology();
  const res = await admin.post(`/topologies/${id}/mutations`, { op: 'remove_decky', payload: { decky: 'prn-9' } });
  assert.equal(res.status, 202, JSON.stringify(res.body));
  await eventually('the port is free', () => new Promise((done) => {
    const s = createSocket('udp4');
    s.once('error', () => { s.close(); done(false); });
    s.bind(at.port, at.address, () => { s.close(); done(true); });
  }));
});
