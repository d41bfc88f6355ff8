// SPDX-License-Identifier: Apache-2.0
// The whole values of `/stream`: statistics and histogram. Whoever watches has the newest ones, whatever made them change and whoever comes
// in meanwhile.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, eventually } from './lib/suite.mjs';
import { newestValues } from './lib/watched.mjs';

let suite, api, decky;

before(async () => {
  suite = await Suite.start({ DECNET_SSE_MAX_PER_USER: '0', DECNET_API_WORKERS: '1' });
  api = await Api.admin(suite);
  suite.cli('demo');
  const { deckies } = await api.expect(200, 'GET', `/topologies/${(await api.demoTopology()).id}`);
  decky = deckies.flatMap((d) => d.endpoints).find((e) => e.service === 'http');
});

after(() => suite?.stop());

function visit() {
  return new Promise((good, bad) => {
    http
      .get({ host: decky.address, port: decky.port, path: '/', agent: false }, (res) => res.resume().on('end', good))
      .on('error', bad);
  });
}

async function watch() {
  const v = new Viewer(suite.url, '/stream', { token: api.token });
  await v.wait('histogram', (f) => f.data?.type === 'histogram');
  return v;
}

const rest = async () => ({ stats: await api.expect(200, 'GET', '/stats'), histogram: await api.expect(200, 'GET', '/logs/histogram') });
const hasNewest = (who, v) => eventually(`${who} has what REST says`, async () => assert.deepEqual(newestValues(v.frames), await rest()) ?? true);

test('a viewer begins with what REST says', async () => {
  await visit();
  await eventually('the visit is counted', async () => (await rest()).stats.total_logs > 0);
  await eventually('the log rests', async () => {
    const was = await rest();
    const v = await watch();
    const got = newestValues(v.frames);
    v.cut();
    assert.deepEqual([got, await rest()], [was, was]);
    return true;
  });
});

test('who watches is told of a change though somebody else came in with the newest values', async () => {
  const first = await watch();
  for (let round = 0; round < 3; round++) {
    // The values are read at once for the first visit, and then not for a second, in which the other one comes.
    const { total_logs: was } = (await rest()).stats;
    await visit();
    await first.wait('a value', (f) => f.data?.type === 'stats' && f.data.data.total_logs > was);
    const { total_logs: then } = (await rest()).stats;
    await visit();
    await eventually('the second visit is counted', async () => (await rest()).stats.total_logs > then);
    const second = await watch();
    await hasNewest('who watched before', first);
    await hasNewest('who came later', second);
    second.cut();
  }
  first.cut();
});

test('statistics follow deckies though nothing is logged and nobody watches anything else', async () => {
  const v = await watch();
  const { deployed_deckies: was } = (await rest()).stats;
  const topology = await api.expect(201, 'POST', '/topologies/blank', { name: 'counted' });
  assert.equal((await rest()).stats.deployed_deckies, was + 1);
  await hasNewest('the viewer', v);
  await api.expect(204, 'DELETE', `/topologies/${topology.id}`);
  await hasNewest('the viewer', v);
  v.cut();
});
