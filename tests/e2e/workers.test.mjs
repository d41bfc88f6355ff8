// SPDX-License-Identifier: Apache-2.0
// Streams spread over the gateway's worker threads: access ends on all of them at once, and what users share (slots, tickets, rate limits, the
// ceiling of connections) is counted once for all.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Suite, eventually, freePort } from './lib/suite.mjs';
import { Viewer } from './lib/sse.mjs';

const NOBODY = '0195f000-0000-7000-8000-000000000000';
const SECRET = 'a-secret-of-the-tests-with-more-than-32-characters';
const STREAMS = 24;

/** Sockets that each worker thread of a process holds. */
function held(pid) {
  const counts = new Map();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const task = `/proc/${pid}/task/${tid}`;
    const name = readFileSync(`${task}/comm`, 'utf8').trim();
    if (!name.startsWith('worker-')) continue;
    const sockets = readdirSync(`${task}/fd`).filter((fd) => {
      try {
        return readlinkSync(`${task}/fd/${fd}`).startsWith('socket:');
      } catch {
        return false;
      }
    });
    counts.set(name, sockets.length);
  }
  return counts;
}

/** Requests on one connection, all written at once; the server takes each when it has answered the one before. Their statuses. */
function pipeline(port, requests) {
  return new Promise((good, bad) => {
    const socket = net.connect(port, '127.0.0.1');
    const statuses = [];
    let text = '';
    socket.on('error', bad);
    socket.on('close', () => bad(new Error(`closed after ${statuses.join(' ')}`)));
    socket.on('data', (chunk) => {
      text += chunk;
      for (;;) {
        const head = text.indexOf('\r\n\r\n') + 4;
        const length = Number(/^content-length: (\d+)\r$/im.exec(text.slice(0, head))?.[1] ?? 0);
        if (head < 4 || text.length < head + length) return;
        statuses.push(Number(text.slice(9, 12)));
        text = text.slice(head + length);
        if (statuses.length < requests.length) continue;
        good(statuses);
        socket.destroy();
        return;
      }
    });
    socket.write(
      requests
        .map(({ method, path, token, body }) => {
          const json = body ? JSON.stringify(body) : '';
          return `${method} /api/v1${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n${json ? 'Content-Type: application/json\r\n' : ''}Content-Length: ${json.length}\r\n\r\n${json}`;
        })
        .join(''),
    );
  });
}

function forge(claims) {
  const part = (object) => Buffer.from(JSON.stringify(object)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

/** Changes a pending topology, one journal row each, as fast as it is answered; can be held. */
class Writer {
  constructor(api) {
    this.api = api;
    this.n = 0;
    this.on = true;
    this.gate = Promise.resolve();
  }

  async begin() {
    this.topology = await this.api.expect(201, 'POST', '/topologies/blank', { name: `written ${randomBytes(4).toString('hex')}` });
    const { lans } = await this.api.expect(200, 'GET', `/topologies/${this.topology.id}`);
    this.path = `/topologies/${this.topology.id}/lans/${lans[0].id}`;
    this.running = this.#run();
  }

  async #run() {
    while (this.on) {
      await this.gate;
      this.busy = this.api.expect(200, 'PATCH', this.path, { x: ++this.n % 1000 });
      await this.busy;
    }
  }

  /** Nothing is under way when it resolves. */
  async hold() {
    this.gate = new Promise((good) => (this.go = good));
    await this.busy;
  }

  async end() {
    this.on = false;
    this.go?.();
    await this.running;
  }
}

for (const workers of [2, 4]) {
  describe(`with ${workers} workers`, () => {
    let suite, admin, writer, metrics;

    before(async () => {
      metrics = await freePort();
      suite = await Suite.start({
        DECNET_API_WORKERS: String(workers),
        DECNET_LIMITER_ENABLED: 'false',
        DECNET_SSE_MAX_PER_USER: String(STREAMS),
        DECNET_JWT_SECRET: SECRET,
        DECNET_METRICS_LISTEN: `127.0.0.1:${metrics}`,
      });
      admin = await Api.admin(suite);
      writer = new Writer(admin);
      await writer.begin();
    });

    after(async () => {
      await writer?.end().catch(() => {});
      await suite?.stop();
    });

    const opened = new Set();
    const open = (path, options) => {
      const v = new Viewer(suite.url, path, options);
      opened.add(v);
      return v;
    };

    afterEach(() => {
      for (const v of opened) v.cut();
      opened.clear();
    });

    const uuidOf = async (name) => (await admin.expect(200, 'GET', '/config')).users.find((u) => u.username === name).uuid;

    /** Streams of every kind, each with its snapshot. */
    async function watch(token, n = STREAMS) {
      const paths = [
        ['/identities/events', {}],
        [`/topologies/${writer.topology.id}/events`, {}],
        ['/events', { topics: 'topology.>,identity.>' }],
        ['/stream', {}],
      ];
      const viewers = Array.from({ length: n }, (_, i) => open(paths[i % paths.length][0], { token, query: paths[i % paths.length][1] }));
      for (const v of viewers) {
        assert.equal(await v.opened, 200);
        await v.event('snapshot');
      }
      return viewers;
    }

    test('connections are spread over the workers, and the numbers are those of all', async () => {
      const viewers = await watch(admin.token);
      const counts = held(suite.pid('decnet-api'));
      assert.equal(counts.size, workers);
      // Each has a listener; that one worker holds all the streams is next to impossible.
      assert.ok([...counts.values()].filter((n) => n > 1).length > 1, JSON.stringify([...counts]));
      const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
      const streams = [...text.matchAll(/^decnet_sse_streams\{.*\} (\d+)$/gm)].reduce((sum, m) => sum + Number(m[1]), 0);
      assert.equal(streams, STREAMS);
      const { status } = await admin.get('/identities/events');
      assert.equal(status, 429);
      for (const v of viewers) v.cut();
      await eventually('the slots are free again', async () => {
        const v = open('/identities/events', { token: admin.token });
        const answer = await v.opened;
        v.cut();
        return answer === 200;
      });
    });

    const byUser = (method, path, body) => (user) => ({ method, path, body, token: user.token });
    const byAdmin = (method, path, body) => (_, uuid) => ({ method, path: path(uuid), body, token: admin.token });
    const ends = [
      ['logout', 'revoked', byUser('POST', '/auth/logout')],
      ['a new password', 'revoked', byUser('POST', '/auth/change-password', { old_password: 'password-number-two', new_password: 'password-number-three' })],
      ['a reset', 'revoked', byAdmin('PUT', (uuid) => `/config/users/${uuid}/reset-password`, { new_password: 'password-number-four' })],
      ['another role', 'role_changed', byAdmin('PUT', (uuid) => `/config/users/${uuid}/role`, { role: 'admin' })],
      ['deletion', 'revoked', byAdmin('DELETE', (uuid) => `/config/users/${uuid}`)],
    ];
    for (const [i, [how, reason, request]] of ends.entries()) {
      test(`all streams of a user end with ${how}, and nothing that was committed after it is sent`, async () => {
        const user = await admin.user(`ends-${i}`, 'viewer');
        const uuid = await uuidOf(`ends-${i}`);
        const viewers = await watch(user.token);
        const [witness] = await watch(admin.token, 1);
        const other = open(`/topologies/${writer.topology.id}/events`, { token: admin.token });
        await other.event('changed');
        await writer.hold();
        const { watermark } = await admin.get('/topologies');
        // The rows of these edits are committed right after the change, without a pause.
        const edits = Array.from({ length: 20 }, (_, x) => ({ method: 'PATCH', path: writer.path, token: admin.token, body: { x } }));
        assert.deepEqual(await pipeline(suite.port, [request(user, uuid), ...edits]), Array(21).fill(200));
        writer.go();
        await Promise.all(
          viewers.map(async (v) => {
            const bye = await v.event('bye', { deadlineMs: 1000 });
            assert.deepEqual(bye.data, { reason });
            await v.end(1000);
            assert.equal(v.frames.at(-1).event, 'bye', 'nothing follows it');
            // Ids of /stream are those of log rows.
            const late = v.request.path.includes('/stream') ? [] : v.rows().filter((f) => f.id > watermark);
            assert.deepEqual(late.map((f) => `${f.event}#${f.id}`), []);
          }),
        );
        // Others go on, and got all of it.
        await other.wait('the last edit', (f) => f.id >= watermark + 20);
        assert.equal(witness.ended, false);
        assert.equal((await user.get('/topologies')).status, 401);
        for (const v of [witness, other]) v.cut();
      });
    }

    test('all streams of a token end when it expires', async () => {
      const exp = Math.floor(Date.now() / 1000) + 3;
      const token = forge({
        uuid: await uuidOf('admin'),
        jti: randomBytes(16).toString('hex'),
        iat: Date.now() / 1000,
        exp,
        iss: 'decnet',
        aud: 'decnet-dashboard',
        typ: 'access',
      });
      const viewers = await watch(token);
      const { ticket } = await new Api(suite.url, token).expect(200, 'POST', '/auth/sse-ticket');
      viewers.pop().cut();
      const byTicket = await eventually('a slot for the ticket', async () => {
        const v = open('/identities/events', { query: { ticket } });
        return (await v.opened) === 200 && v;
      });
      viewers.push(byTicket);
      await Promise.all(
        viewers.map(async (v) => {
          const left = exp * 1000 + 1000 - Date.now();
          const bye = await v.event('bye', { deadlineMs: left });
          assert.deepEqual(bye.data, { reason: 'token_expired' });
          await v.end(1000);
        }),
      );
    });

    test('of two requests at once with one ticket one gets it', async () => {
      const user = await admin.user('two-at-once', 'viewer');
      for (let i = 0; i < 20; i++) {
        const { ticket } = await user.expect(200, 'POST', '/auth/sse-ticket');
        const both = [open('/identities/events', { query: { ticket } }), open('/identities/events', { query: { ticket } })];
        const answers = await Promise.all(both.map((v) => v.opened));
        assert.deepEqual(answers.sort(), [200, 401]);
        for (const v of both) v.cut();
      }
    });

    test('a ticket is spent by the stream that it opens, not by a refusal', async () => {
      const user = await admin.user('refused', 'viewer');
      const { ticket } = await user.expect(200, 'POST', '/auth/sse-ticket');
      const query = { ticket };
      const viewers = await watch(user.token);
      for (const [status, path, more] of [
        [429, '/identities/events', {}],
        [429, `/topologies/${NOBODY}/events`, {}],
      ])
        assert.equal(await open(path, { query: { ...query, ...more } }).opened, status);
      viewers.pop().cut();
      for (const [status, path, more] of [
        [404, `/topologies/${NOBODY}/events`, {}],
        [404, `/attackers/${NOBODY}/events`, {}],
        [404, '/events', { topics: `topology.${NOBODY}.>` }],
        [422, '/events', {}],
        [422, '/events', { topics: 'log.>' }],
        [422, '/events', { topics: 'topology..status' }],
      ])
        await eventually(`${status} for ${path}`, async () => {
          const answer = await open(path, { query: { ...query, ...more } }).opened;
          // The slot of the stream that was cut may still be held for a moment.
          assert.ok(answer === status || answer === 429, `${path}: ${answer}`);
          return answer === status;
        });
      const good = await eventually('the stream', async () => {
        const v = open('/identities/events', { query });
        return (await v.opened) === 200 && v;
      });
      assert.equal(await open('/identities/events', { query }).opened, 401);
      await user.expect(200, 'POST', '/auth/logout');
      assert.deepEqual((await good.event('bye', { deadlineMs: 1000 })).data, { reason: 'revoked' });
    });

    test('stopping says bye on all of them', async () => {
      const viewers = await watch(admin.token);
      await writer.end();
      const stopped = suite.stop();
      for (const v of viewers) assert.deepEqual((await v.event('bye')).data, { reason: 'shutdown' });
      await stopped;
      assert.equal((await suite.exited).code, 0);
    });
  });
}

describe('what the workers share', () => {
  const CONNECTIONS = 8;
  const CAP = 5;
  let suite, admin;

  before(async () => {
    suite = await Suite.start({ DECNET_API_WORKERS: '3', DECNET_MAX_CONNECTIONS: String(CONNECTIONS), DECNET_SSE_MAX_PER_USER: String(CAP) });
    admin = await Api.admin(suite);
  });

  after(async () => {
    await suite?.stop();
  });

  /** One request on a connection of its own, which stays open: {socket, status, text}. */
  function ask(path, { method = 'GET', body = '' } = {}) {
    return new Promise((good, bad) => {
      const socket = net.connect(suite.port, '127.0.0.1');
      let text = '';
      socket.on('error', bad);
      socket.on('close', () => bad(new Error(`closed: ${text}`)));
      socket.on('data', (chunk) => {
        text += chunk;
        const status = /^HTTP\/1\.1 (\d+) /.exec(text);
        const length = /^content-length: (\d+)\r$/im.exec(text);
        const head = text.indexOf('\r\n\r\n') + 4;
        if (status && length && head > 3 && text.length >= head + Number(length[1])) good({ socket, status: Number(status[1]), text });
      });
      socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
  }

  test('the ceiling of connections is one for all, and a refused ticket is good still', async () => {
    const { ticket } = await admin.expect(200, 'POST', '/auth/sse-ticket');
    const ours = [];
    // Connections that our client of REST keeps open count, too, until it lets them go.
    await eventually('all connections are ours', async () => {
      const one = await ask('/healthz');
      if (one.status === 200) ours.push(one.socket);
      else assert.equal(one.status, 503);
      return ours.length === CONNECTIONS;
    });
    for (let i = 0; i < 2 * CONNECTIONS; i++) {
      const refused = await ask(`/api/v1/identities/events?ticket=${ticket}`);
      assert.equal(refused.status, 503);
      assert.match(refused.text, /^retry-after: 1\r$/im);
      assert.ok(refused.text.endsWith('{"detail":"Server busy"}'), refused.text);
      refused.socket.destroy();
    }
    for (const socket of ours) socket.destroy();
    const viewer = await eventually('room again', async () => {
      const v = new Viewer(suite.url, '/identities/events', { query: { ticket } });
      const status = await v.opened;
      assert.ok(status === 200 || status === 503, `${status}`);
      return status === 200 && v;
    });
    viewer.cut();
  });

  test('streams that are opened at once get as many slots as there are', async () => {
    await eventually('all slots are free', async () => {
      const viewers = Array.from({ length: CAP + 2 }, () => new Viewer(suite.url, '/identities/events', { token: admin.token }));
      const answers = await Promise.all(viewers.map((v) => v.opened));
      for (const v of viewers) v.cut();
      const given = answers.filter((status) => status === 200).length;
      assert.ok(given <= CAP, `${given} streams`);
      return given === CAP && answers.filter((status) => status === 429).length === 2;
    });
  });

  test('a rate limit is one for all', async () => {
    // The administrator logged in twice before, from this address.
    const answers = [];
    for (let i = 0; i < 12; i++) {
      const body = JSON.stringify({ username: `nobody-${i}`, password: 'wrong' });
      const { socket, status } = await ask('/api/v1/auth/login', { method: 'POST', body });
      answers.push(status);
      socket.destroy();
    }
    assert.deepEqual(answers, [...Array(8).fill(401), ...Array(4).fill(429)]);
  });
});
