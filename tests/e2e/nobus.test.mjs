// SPDX-License-Identifier: Apache-2.0
// Without a bus everything still arrives, only later.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite } from './lib/suite.mjs';

let suite, api, topology;

before(async () => {
  suite = await Suite.start({ DECNET_BUS_ENABLED: 'false' });
  suite.cli('demo');
  api = await Api.admin(suite);
  topology = await api.demoTopology();
});

after(async () => {
  await suite?.stop();
});

test('no broker runs', () => {
  assert.equal(suite.pid('decnet-bus'), undefined);
});

test('a mutation is applied and seen', async () => {
  const v = new Viewer(suite.url, `/topologies/${topology.id}/events`, { token: api.token });
  assert.equal(await v.opened, 200);
  await v.event('snapshot');
  const { mutation_id: id } = await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, {
    op: 'add_decky',
    payload: { name: 'quiet-01', lan: 'inner', services: ['http'] },
  });
  await v.event('mutation.applied', { deadlineMs: 30000 });
  assert.deepEqual(
    v.rows().filter((f) => f.data.payload.mutation_id === id).map((f) => f.event),
    ['mutation.enqueued', 'mutation.applying', 'mutation.applied'],
  );
  v.cut();
});

test('a visitor is seen', async () => {
  const v = new Viewer(suite.url, '/identities/events', { token: api.token });
  assert.equal(await v.opened, 200);
  await v.event('snapshot');
  const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
  const e = detail.deckies.flatMap((d) => d.endpoints).find((x) => x.service === 'http');
  execFileSync('curl', ['-s', '-m', '5', '--interface', '127.0.0.88', `http://${e.address}:${e.port}/`]);
  await v.event('formed', { deadlineMs: 30000 });
  v.cut();
});
