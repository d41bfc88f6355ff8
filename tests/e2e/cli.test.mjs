// SPDX-License-Identifier: Apache-2.0
// Commands that only look: the catalogue, the log, the doctor.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Suite, decnet, eventually } from './lib/suite.mjs';

let suite, admin, env, page;

before(async () => {
  suite = await Suite.start();
  suite.cli('demo');
  admin = await Api.admin(suite);
  env = { ...suite.env, DECNET_URL: suite.url, DECNET_TOKEN: admin.token };
  const { body } = await admin.get(`/topologies/${(await admin.demoTopology()).id}`);
  const e = body.deckies.flatMap((d) => d.endpoints).find((x) => x.service === 'http');
  page = `http://${e.address}:${e.port}`;
});

after(async () => {
  await suite?.stop();
});

function run(args, extra = {}) {
  const r = spawnSync(decnet, args, { env: { ...env, ...extra }, encoding: 'utf8', timeout: 20000 });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

test('the catalogue, whole and one entry of it', () => {
  const all = run(['services']);
  assert.equal(all.code, 0);
  assert.match(all.out, /^redis +available +6379\/tcp$/m);
  assert.match(run(['services', 'redis']).out, /^ {2}version +string/m);
  assert.equal(JSON.parse(run(['--json', 'services', 'redis']).out).name, 'redis');
  const none = run(['services', 'no/such']);
  assert.equal(none.code, 3);
  assert.match(none.err, /Unknown service: 'no\/such'/);
  assert.match(run(['archetypes']).out, /^printer +embedded +snmp,ftp {2}/m);
  assert.equal(JSON.parse(run(['--json', 'archetypes', 'printer']).out).slug, 'printer');
  assert.equal(run(['archetypes', 'toaster']).code, 3);
  assert.equal(run(['services', 'a', 'b']).code, 2);
});

test('the log, filtered, refused, and followed without a gap', async () => {
  await fetch(`${page}/before`);
  await eventually('the first visit is kept', () => /path=\/before/.test(run(['log', '--search', 'event:request']).out));
  const one = run(['log', '--limit', '1', '--json']);
  assert.equal(JSON.parse(one.out).data.length, 1);
  const bad = run(['log', '--since', 'yesterday or so']);
  assert.equal(bad.code, 1);
  assert.match(bad.err, /query\.start_time/);
  assert.equal(run(['log', '--limit', 'many']).code, 2);

  const child = spawn(decnet, ['log', '--follow', '--search', 'event:request'], { env });
  let out = '';
  child.stdout.on('data', (d) => { out += d; });
  const ended = new Promise((resolve) => { child.on('exit', (code) => resolve(code)); });
  await eventually('what was kept is shown', () => out.includes('path=/before'));
  await fetch(`${page}/after`);
  await eventually('what comes is shown', () => out.includes('path=/after'));
  child.kill('SIGINT');
  assert.equal(await ended, 130);
  assert.deepEqual(out.trim().split('\n').map((l) => /path=(\S+)/.exec(l)[1]), ['/before', '/after']);
});

test('the doctor finds what is wrong, and mends what is safe to mend', () => {
  const well = run(['doctor']);
  assert.equal(well.code, 0, well.out);
  assert.doesNotMatch(well.out, /^(bad|warning)/m);
  assert.match(well.out, /^ok +bus .*a broker answers$/m);

  const secret = join(env.DECNET_STATE_DIR, 'jwt.secret');
  chmodSync(secret, 0o644);
  const ill = run(['doctor', '--json']);
  assert.equal(ill.code, 1);
  const finding = JSON.parse(ill.out).filter((f) => f.verdict !== 'ok');
  assert.deepEqual(finding.map((f) => [f.subject, f.verdict]), [['files', 'bad']]);
  assert.match(finding[0].detail, /jwt\.secret has mode 0644; expected 0600/);
  assert.equal(run(['doctor', '--fix']).code, 0);
  assert.equal(statSync(secret).mode & 0o777, 0o600);

  assert.match(run(['doctor'], { DECNET_API_PROT: '1' }).out, /^warning +environment +DECNET_API_PROT means nothing/m);
  const unusable = run(['doctor'], { DECNET_API_PORT: 'eighty' });
  assert.equal(unusable.code, 1);
  assert.match(unusable.out, /^bad +environment +DECNET_API_PORT/m);
  const half = run(['doctor'], { DECNET_TLS_CERT: '/nowhere' });
  assert.equal(half.code, 1);
});
