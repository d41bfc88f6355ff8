// SPDX-License-Identifier: Apache-2.0
// The netns driver where this test must not touch the machine's own network: in namespaces around the whole suite. Once more everything, as a
// user without privileges; and the DMZ joined to an interface.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { accessSync, chmodSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Api } from './lib/api.mjs';
import { Attacker, Fabric, cannot } from './lib/fabric.mjs';
import { Suite, build, eventually } from './lib/suite.mjs';

const here = fileURLToPath(import.meta.url);
const WIRE = fileURLToPath(new URL('lib/wire.py', import.meta.url));
const inside = process.env.DECNET_E2E_INSIDE;
const root = process.getuid() === 0;

/** Runs a test file inside new namespaces; what it said is shown when it fails. */
function run(wrap, file, env = {}) {
  const script = `ip link set lo up && exec "$0" --test --test-reporter=tap "$1"`;
  const [command, ...args] = [...wrap, 'sh', '-c', script, process.execPath, join(dirname(here), file)];
  // With the runner's own variable set, an inner runner would run nothing.
  const { NODE_TEST_CONTEXT: _, ...clean } = process.env;
  const tried = spawnSync(command, args, { env: { ...clean, DECNET_BUILD: build, ...env }, encoding: 'utf8', timeout: 400000 });
  assert.equal(tried.status, 0, `${tried.stdout}\n${tried.stderr}`);
  assert.match(tried.stdout, /^# pass [1-9]/m);
  assert.match(tried.stdout, /^# skipped 0/m);
}

/** A directory that anybody may write to. */
function shared() {
  const dir = mkdtempSync(join(tmpdir(), 'decnet-inside-'));
  chmodSync(dir, 0o777);
  return dir;
}

if (!inside) {
  const nobody = root ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
  const plain = spawnSync(nobody[0] ?? 'true', [...nobody.slice(1), 'unshare', '-Urnm', 'test', '-r', here], { encoding: 'utf8' });
  const why = cannot() ?? (plain.status === 0 ? null : `no user namespaces, or this folder is not readable to others: ${plain.stderr}`);

  test('all of it works in a user namespace', { skip: why ?? false }, () => {
    const dir = shared();
    run([...nobody, 'unshare', '-Urnm'], 'netns.test.mjs', { TMPDIR: dir, HOME: dir });
    rmSync(dir, { recursive: true, force: true });
  });

  test('the DMZ is joined to an interface', { skip: cannot() ?? false }, () => {
    run(root ? ['unshare', '-nm'] : ['unshare', '-Urnm'], 'netns-inside.test.mjs', { DECNET_E2E_INSIDE: 'uplink' });
  });
} else {
  let suite, api, topology, outside;

  const sh = (...args) => {
    const tried = spawnSync(args[0], args.slice(1), { encoding: 'utf8' });
    assert.equal(tried.status, 0, tried.stderr);
    return tried.stdout;
  };

  before(async () => {
    accessSync(build, constants.R_OK);
    outside = await Attacker.start();
    sh('ip', 'link', 'add', 'wire0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(outside.holder.pid));
    for (const args of [['addr', 'add', '172.16.0.100/24', 'dev', 'eth0'], ['link', 'set', 'eth0', 'up']]) await outside.run('ip', ...args);
  });

  after(async () => {
    await suite?.stop();
    outside?.leave();
  });

  test('an interface that is not there, or that the host uses, is refused with exit code 2', async () => {
    for (const [name, prepare, undo] of [
      ['nothing0', [], []],
      ['wire0', ['ip', 'addr', 'add', '10.1.1.1/24', 'dev', 'wire0'], ['ip', 'addr', 'flush', 'dev', 'wire0']],
      ['wire0', ['ip', 'addr', 'add', '2001:db8::1/64', 'dev', 'wire0'], ['ip', 'addr', 'flush', 'dev', 'wire0']],
    ]) {
      if (prepare.length) sh(...prepare);
      const dir = mkdtempSync(join(tmpdir(), 'decnet-e2e-'));
      const tried = spawnSync(join(build, 'src/main/decnet'), ['up', '--foreground', '--driver', 'netns'], {
        env: { PATH: process.env.PATH, DECNET_STATE_DIR: dir, DECNET_UPLINK: name, DECNET_METRICS_LISTEN: '' }, encoding: 'utf8', timeout: 60000 });
      assert.equal(tried.status, 2, tried.stderr);
      assert.match(tried.stderr, /DECNET_UPLINK/);
      rmSync(dir, { recursive: true, force: true });
      if (undo.length) sh(...undo);
    }
  });

  test('who is on the wire sees the deckies of the DMZ, and reaches them', async () => {
    suite = await Suite.start({ DECNET_NET_DRIVER: 'netns', DECNET_UPLINK: 'wire0' });
    api = await Api.admin(suite);
    topology = await api.expect(201, 'POST', '/topologies/blank', { name: 'joined' });
    const { lans } = await api.expect(200, 'GET', `/topologies/${topology.id}`);
    const made = await api.expect(201, 'POST', `/topologies/${topology.id}/deckies`, { name: 'web', services: ['http'] });
    const edge = await api.expect(201, 'POST', `/topologies/${topology.id}/edges`, { decky_uuid: made.uuid, lan_id: lans[0].id });
    await api.expect(202, 'POST', `/topologies/${topology.id}/deploy`);
    await eventually('it is active', async () => (await api.get(`/topologies/${topology.id}`)).body.topology.status === 'active');
    const seen = await eventually('the wire is up', async () => {
      const hosts = await outside.hosts('172.16.0.0/24');
      return hosts.size === 2 ? hosts : null;
    });
    const fabric = new Fabric(suite);
    for (const nic of fabric.nics()) assert.equal(seen.get(nic.ip), nic.mac);
    assert.match(await outside.run('curl', '-sS', '-i', '--max-time', '10', `http://${edge.ip}/`), /^HTTP\/1\.1 \d{3}/);
    await suite.kill('decnet-netd');
    await eventually('it answers after a restart', () => outside.reaches(edge.ip, 80));
  });

  test('what is meant for everybody on the wire does not reach the host, nor do routers of the wire give it a way', async () => {
    const host = createSocket('udp6').bind(0);
    await once(host, 'listening');
    const heard = [];
    host.on('message', (text) => heard.push(String(text)));
    const shout = (attacker) => attacker.run('python3', WIRE, 'shout', 'eth0', String(host.address().port));
    const routes = (name) => sh('ip', '-6', 'route', 'show', 'dev', name).split('\n').filter((l) => /default|2001:db8:bad/.test(l));
    // On another interface of the host's all of it is heard.
    const other = await Attacker.start();
    sh('ip', 'link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(other.holder.pid));
    for (const args of [['addr', 'add', '10.1.1.1/24', 'dev', 'other0'], ['link', 'set', 'other0', 'up']]) sh('ip', ...args);
    await other.run('ip', 'link', 'set', 'eth0', 'up');
    sh('ip', 'route', 'add', 'default', 'via', '10.1.1.2');
    const senders = ['0.0.0.0', '10.1.1.9', '172.16.0.100', 'fe80::bad'];
    await eventually('the other interface is heard', async () => (await shout(other), senders.every((s) => heard.includes(s)) && routes('other0').length >= 2));
    heard.length = 0;
    await shout(outside);
    // What comes after it on the same socket has arrived: so would it have.
    await eventually('the other interface is heard again', async () => (await shout(other), heard.length >= 2 * senders.length));
    assert.equal(heard.length % senders.length, 0, heard.join());
    assert.deepEqual(routes('wire0'), []);
    assert.equal(sh('ip', '-6', 'addr', 'show', 'dev', 'wire0'), '');
    host.close();
    other.leave();
  });

  test('teardown unties the LAN, and the end gives the interface back', async () => {
    await api.expect(202, 'POST', `/topologies/${topology.id}/teardown`);
    await eventually('it is gone', async () => (await api.get(`/topologies/${topology.id}`)).body.topology.status === 'torn_down');
    const links = JSON.parse(new Fabric(suite).enter('fabric', 'ip', '-j', 'link')).map((l) => l.ifname).sort();
    assert.deepEqual(links, ['lo', 'uplink', 'uplinks']);
    suite.process.kill('SIGTERM');
    await suite.exited;
    sh('ip', 'link', 'add', 'probe0', 'link', 'wire0', 'type', 'macvlan', 'mode', 'passthru');
  });
}
