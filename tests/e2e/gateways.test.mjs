// SPDX-License-Identifier: Apache-2.0
// Two gateways on one store: what one of them does to somebody's access ends his streams on the other within a second, and a stream that
// began on one goes on at the other.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Gateway } from './lib/gateway.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite } from './lib/suite.mjs';

const STREAMS = 8;
let suite, admin, second, url;

before(async () => {
  suite = await Suite.start({ DECNET_API_WORKERS: '2', DECNET_LIMITER_ENABLED: 'false', DECNET_SSE_MAX_PER_USER: '0' });
  second = await Gateway.start(suite);
  url = second.url;
  admin = await Api.admin(suite);
});

after(async () => {
  await second?.stop();
  await suite?.stop();
});

for (const [how, reason, act] of [
  ['logout', 'revoked', (user) => user.expect(200, 'POST', '/auth/logout')],
  ['another role', 'role_changed', (_, uuid) => admin.expect(200, 'PUT', `/config/users/${uuid}/role`, { role: 'admin' })],
  ['deletion', 'revoked', (_, uuid) => admin.expect(200, 'DELETE', `/config/users/${uuid}`)],
])
  test(`${how} at one gateway ends the streams at the other, though nothing happens there`, async () => {
    const name = `ends by ${how}`;
    const user = await admin.user(name, 'viewer');
    const { uuid } = (await admin.expect(200, 'GET', '/config')).users.find((u) => u.username === name);
    const viewers = Array.from({ length: STREAMS }, (_, i) => new Viewer(url, ['/identities/events', '/stream'][i % 2], { token: user.token }));
    for (const v of viewers) await v.event('snapshot');
    const witness = new Viewer(url, '/identities/events', { token: admin.token });
    await witness.event('snapshot');
    await act(user, uuid);
    await Promise.all(
      viewers.map(async (v) => {
        assert.deepEqual((await v.event('bye', { deadlineMs: 1000 })).data, { reason });
        await v.end(1000);
      }),
    );
    assert.equal(witness.ended, false);
    witness.cut();
  });

test('a stream goes on at another gateway', async () => {
  const topology = await admin.expect(201, 'POST', '/topologies/blank', { name: 'moved' });
  const path = `/topologies/${topology.id}/events`;
  const { lans } = await admin.expect(200, 'GET', `/topologies/${topology.id}`);
  const edit = (x) => admin.expect(200, 'PATCH', `/topologies/${topology.id}/lans/${lans[0].id}`, { x });
  const first = new Viewer(suite.url, path, { token: admin.token });
  await first.event('snapshot');
  await edit(1);
  await first.event('changed');
  first.cut();
  await edit(2);
  await edit(3);
  const then = new Viewer(url, path, { token: admin.token, lastEventId: first.lastId() });
  const resumed = await then.event('resumed');
  assert.equal(resumed.data.replayed, 2);
  await edit(4);
  await then.wait('a live row', (f) => f.event === 'changed' && f.id > resumed.data.to);
  assert.equal(then.frames.filter((f) => f.event === 'changed').length, 3);
  then.cut();
});
