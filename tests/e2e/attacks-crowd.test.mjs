// SPDX-License-Identifier: Apache-2.0
// Ten thousand peers that begin a request and do not end it; the ceiling of connections; everybody else is served.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from './lib/api.mjs';
import { Crowd, mayOpen } from './lib/crowd.mjs';
import { Metrics } from './lib/metrics.mjs';
import { descriptors, rssMiB, sanitized } from './lib/proc.mjs';
import { exchange } from './lib/raw.mjs';
import { Viewer } from './lib/sse.mjs';
import { eventually, freePort, Suite } from './lib/suite.mjs';

const PEERS = 10000;
const HALF = 'GET /api/v1/topologies HTTP/1.1\r\nHost: a\r\nX: y';

async function running(env = {}) {
  const listen = `127.0.0.1:${await freePort()}`;
  const suite = await Suite.start({ DECNET_METRICS_LISTEN: listen, DECNET_LIMITER_ENABLED: 'false', DECNET_LOG_LEVEL: 'warning', ...env });
  return { suite, metrics: new Metrics(listen), admin: await Api.admin(suite), pid: suite.pid('decnet-api') };
}

test(`${PEERS} peers with half a head: others are served, memory is bounded, all is as before afterwards`, { skip: mayOpen() < PEERS + 2000 && `only ${mayOpen()} descriptors` }, async (t) => {
  const { suite, admin, pid } = await running();
  let crowd;
  try {
    const stream = new Viewer(suite.url, '/identities/events', { token: admin.token });
    await stream.event('snapshot');
    const [fds, memory] = [descriptors(pid), rssMiB(pid)];
    crowd = new Crowd(suite.port, PEERS, HALF);
    // Others, from the first peer to the last.
    let served = 0;
    let done = false;
    let most = 0;
    let largest = memory;
    const others = (async () => {
      while (!done) {
        assert.equal((await admin.get('/topologies')).status, 200);
        served++;
        most = Math.max(most, descriptors(pid));
        largest = Math.max(largest, rssMiB(pid));
        await pause(20);
      }
    })();
    const connected = await crowd.wait('all connected');
    assert.equal(connected.failed, 0, 'nobody was turned away');
    const closed = await crowd.wait('all closed');
    done = true;
    await others;
    assert.deepEqual(closed.statuses, { 408: PEERS }, 'each was told why');
    assert.ok(most > PEERS * 0.6, `they were there at the same time: ${most} descriptors`);
    assert.ok(served > 50, `${served} requests of others`);
    t.diagnostic(`${Math.round(largest - memory)} MiB more, ${served} requests of others meanwhile`);
    if (!sanitized(pid)) assert.ok(largest - memory < 160, `${Math.round(largest - memory)} MiB for ${PEERS} peers`);
    await eventually('the descriptors are back', () => descriptors(pid) <= fds + 4);
    assert.ok(!stream.ended, 'a stream goes on through all of it');
    assert.equal(suite.pid('decnet-api'), pid, 'the same process');
    stream.cut();
  } finally {
    await crowd?.stop();
    await suite.stop();
  }
});

test('above the ceiling of connections: 503, closed, counted; streams and requests below it go on', async () => {
  const MAX = 600;
  const { suite, admin, metrics, pid } = await running({ DECNET_MAX_CONNECTIONS: String(MAX), DECNET_API_WORKERS: '2' });
  let crowd;
  try {
    const stream = new Viewer(suite.url, '/identities/events', { token: admin.token });
    await stream.event('snapshot');
    const before = await metrics.limit('connections');
    const fds = descriptors(pid);
    // Half a head may stay 10 s: on a slow machine the first are gone before the last have come, and none is too many.
    for (let tries = 0; ; tries++) {
      crowd = new Crowd(suite.port, MAX + 400, HALF);
      await crowd.wait('all connected');
      const moved = await eventually('the counter moves', async () => (await metrics.limit('connections')) >= before + 100, 8000).catch((e) => e);
      if (moved === true) break;
      if (tries === 4) throw moved;
      await crowd.wait('all closed');
      await crowd.stop();
    }
    const [answer] = await exchange(suite.port, 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    if (answer && answer.status !== 200) {
      assert.equal(answer.status, 503);
      assert.deepEqual(answer.json, { detail: 'Server busy' });
      assert.equal(answer.headers.get('retry-after'), '1');
      assert.equal(answer.headers.get('connection'), 'close');
    }
    assert.ok(!stream.ended, 'who is in stays in');
    const closed = await crowd.wait('all closed');
    assert.equal(closed.closed, MAX + 400);
    assert.ok(closed.statuses['503'] > 0, JSON.stringify(closed.statuses));
    assert.ok(closed.statuses['408'] > 0 && closed.statuses['408'] <= MAX, JSON.stringify(closed.statuses));
    await eventually('all is as before', async () => descriptors(pid) <= fds + 4 && (await admin.get('/config')).status === 200);
    assert.ok(!stream.ended);
    stream.cut();
  } finally {
    await crowd?.stop();
    await suite.stop();
  }
});
