// SPDX-License-Identifier: Apache-2.0
// A viewer that is cut and comes back gets exactly what it missed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite } from './lib/suite.mjs';

let suite, api, path;

before(async () => {
  suite = await Suite.start();
  suite.cli('demo');
  api = await Api.admin(suite);
  path = `/topologies/${(await api.demoTopology()).id}`;
});

after(async () => {
  await suite?.stop();
});

async function mutate(name) {
  const v = new Viewer(suite.url, `${path}/events`, { token: api.token });
  await v.event('snapshot');
  await api.expect(202, 'POST', `${path}/mutations`, { op: 'add_decky', payload: { name, lan: 'inner', services: ['redis'] } });
  await v.event('mutation.applied');
  v.cut();
  return v;
}

test('the missed frames, then resumed, and no snapshot', async () => {
  const v = new Viewer(suite.url, `${path}/events`, { token: api.token });
  const snapshot = await v.event('snapshot');
  v.cut();
  const witness = await mutate('missed-01');
  const back = new Viewer(suite.url, `${path}/events`, { token: api.token, lastEventId: snapshot.id });
  const resumed = await back.event('resumed');
  assert.ok(!back.frames.some((f) => f.event === 'snapshot'));
  const missed = back.rows().filter((f) => f.id <= resumed.data.to);
  assert.equal(resumed.data.from, snapshot.id);
  assert.equal(resumed.data.replayed, missed.length);
  assert.equal(resumed.id, resumed.data.to);
  assert.deepEqual(missed.map((f) => [f.id, f.event, f.data]), witness.rows().map((f) => [f.id, f.event, f.data]));
  back.cut();
});

test('lastEventId in the URL does the same, and the header wins', async () => {
  const v = new Viewer(suite.url, `${path}/events`, { token: api.token });
  const { id } = await v.event('snapshot');
  v.cut();
  await mutate('missed-02');
  const byUrl = new Viewer(suite.url, `${path}/events`, { token: api.token, query: { lastEventId: String(id) } });
  const resumed = await byUrl.event('resumed');
  assert.equal(resumed.data.from, id);
  assert.ok(resumed.data.replayed > 0);
  byUrl.cut();
  const both = new Viewer(suite.url, `${path}/events`, { token: api.token, lastEventId: resumed.data.to, query: { lastEventId: String(id) } });
  const second = await both.event('resumed');
  assert.equal(second.data.from, resumed.data.to);
  assert.equal(second.data.replayed, 0);
  both.cut();
});

test('what is no number, or zero, is a first visit; what lies beyond the journal is expired', async () => {
  for (const [value, reason] of [['x', 'connect'], ['0', 'connect'], ['-1', 'connect'], ['999999999', 'expired']]) {
    const v = new Viewer(suite.url, `${path}/events`, { token: api.token, lastEventId: value });
    const snapshot = await v.event('snapshot');
    assert.equal(snapshot.data.reason, reason, value);
    v.cut();
  }
});
