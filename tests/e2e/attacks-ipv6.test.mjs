// SPDX-License-Identifier: Apache-2.0
// Who has a network of IPv6 has 2^64 addresses and still one allowance of attempts to log in. In a network namespace of its own, for addresses
// that this machine does not have.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { postFrom } from './lib/gateway.mjs';
import { Suite, build } from './lib/suite.mjs';

const inside = process.env.DECNET_E2E_INSIDE === 'ipv6';
const wrap = process.getuid() === 0 ? ['-n'] : ['-rn'];
const cannot = spawnSync('unshare', [...wrap, 'sh', '-c', 'ip link set lo up && ip -6 addr add 2001:db8::1/128 dev lo'], { encoding: 'utf8' });
const skip = inside || cannot.status === 0 ? false : `no namespace with IPv6: ${cannot.stderr?.trim() || cannot.error?.message}`;

const NETWORK = '2001:db8:0:1';
const OTHERS = ['2001:db8:0:2::1', '2001:db8:0:1:8000::1', '127.0.0.1', '127.0.0.2'];
const wrong = (i) => ({ username: `somebody ${i}`, password: 'not the password' });

test('an IPv6 network has one allowance', { skip }, async (t) => {
  if (!inside) {
    const { NODE_TEST_CONTEXT: _, ...clean } = process.env;
    const script = 'ip link set lo up && exec "$0" --test --test-reporter=tap "$1"';
    const env = { ...clean, DECNET_BUILD: build, DECNET_E2E_INSIDE: 'ipv6' };
    const run = spawnSync('unshare', [...wrap, 'sh', '-c', script, process.execPath, fileURLToPath(import.meta.url)], { env, encoding: 'utf8', timeout: 120000 });
    assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
    assert.match(run.stdout, /^# pass 1$/m);
    return;
  }
  const addresses = Array.from({ length: 12 }, (_, i) => `${NETWORK}::${(i * 4099 + 1).toString(16)}`);
  for (const a of [...addresses, OTHERS[0], OTHERS[1]]) execFileSync('ip', ['-6', 'addr', 'add', `${a}/128`, 'dev', 'lo', 'nodad']);
  const suite = await Suite.start({ DECNET_API_HOST: '::' });
  t.after(() => suite.stop());
  const login = (from, i) => postFrom(from, from.includes(':') ? `http://[${addresses[0]}]:${suite.port}` : suite.url, '/auth/login', wrong(i));
  for (let i = 0; i < 10; i++) assert.equal((await login(addresses[i], i)).status, 401, addresses[i]);
  for (const a of [addresses[10], addresses[11], addresses[0], OTHERS[1]]) {
    const res = await login(a, 10);
    assert.deepEqual([a, res.status, res.body], [a, 429, { detail: 'Rate limit exceeded: 10 per 5 minute' }]);
  }
  // The next network, and IPv4 through the same listener, have their own.
  for (const a of [OTHERS[0], OTHERS[2], OTHERS[3]]) assert.equal((await login(a, 11)).status, 401, a);
  for (let i = 0; i < 9; i++) assert.equal((await login(OTHERS[2], 20 + i)).status, 401);
  assert.equal((await login(OTHERS[2], 30)).status, 429);
  assert.equal((await login(OTHERS[3], 31)).status, 401);
});
