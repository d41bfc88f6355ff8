// SPDX-License-Identifier: Apache-2.0
// One stream, four clients that share no code, by token and by ticket: each sees the same frames and, whoever was killed and whatever was cut, gets
// exactly what it missed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { EventSource } from 'eventsource';
import { Api } from './lib/api.mjs';
import { launch, openPage, skipWithoutBrowser } from './lib/browser.mjs';
import { FrameParser } from './lib/frames.mjs';
import { eventName, journal } from './lib/kept.mjs';
import { Proxy } from './lib/proxy.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const NAMES = ['snapshot', 'resumed', 'status', 'decky.state', ...['enqueued', 'applying', 'applied', 'failed', 'cancelled'].map((s) => `mutation.${s}`)];

const PYTHON = `
import sys, urllib.request
url, token, last = sys.argv[1:4]
headers = {"Authorization": "Bearer " + token} if token else {}
if last != "0": headers["Last-Event-ID"] = last
with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as stream:
    for line in stream:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
`;

/** A program that prints the stream and ends with it; started again with the last id as long as the test runs. */
class Program {
  constructor(command) {
    this.command = command;
    this.frames = [];
    this.stopped = false;
    this.running = this.#run();
  }

  async #run() {
    while (!this.stopped) {
      const parser = new FrameParser();
      const last = this.frames.findLast((f) => f.id !== undefined)?.id ?? 0;
      let name, args;
      try {
        [name, ...args] = await this.command(last);
      } catch {
        await pause(50); // no ticket: the gateway is away
        continue;
      }
      this.child = spawn(name, args, { stdio: ['ignore', 'pipe', 'ignore'] });
      // A chunk that was cut in the middle of a frame is dropped with its parser.
      this.child.stdout.on('data', (chunk) => this.frames.push(...parser.push(chunk)));
      await new Promise((good) => this.child.once('close', good));
      if (!this.stopped) await pause(100);
    }
  }

  async seen() {
    return this.frames;
  }

  async stop() {
    this.stopped = true;
    this.child?.kill();
    await this.running;
  }
}

const bearer = (token) => (token ? ['-H', `Authorization: Bearer ${token}`] : []);
const resumeAt = (last) => (last ? ['-H', `Last-Event-ID: ${last}`] : []);
const programs = {
  curl: (url, token, last) => ['curl', '-s', '-f', '-N', ...bearer(token), ...resumeAt(last), url],
  urllib: (url, token, last) => ['python3', '-c', PYTHON, url, token, String(last)],
};

/** With the token in the header, and the place in `Last-Event-ID`. */
const byToken = (name, base, token) => new Program((last) => programs[name](base + path, token, last));

/** With a ticket in the URL, a new one each time; the place in the header or, every second time, in the URL. */
function byTicket(name, base, token) {
  let times = 0;
  return new Program(async (last) => {
    const { ticket } = await new Api(base, token).expect(200, 'POST', '/auth/sse-ticket');
    const place = last && times++ % 2 === 0 ? `&lastEventId=${last}` : '';
    return programs[name](`${base}${path}?ticket=${ticket}${place}`, '', place ? 0 : last);
  });
}

/** Runs in Node.js and in the page alike: an EventSource that is told its frames, and takes a new ticket when the old one is refused. */
function follow(Source, base, stream, token, names, state, init) {
  const listen = (source) => {
    for (const name of names)
      source.addEventListener(name, (e) => {
        state.last = e.lastEventId;
        state.frames.push({ event: name, id: Number(e.lastEventId), data: JSON.parse(e.data) });
      });
    state.source = source;
  };
  const open = async () => {
    if (state.stopped) return;
    try {
      const res = await fetch(`${base}/api/v1/auth/sse-ticket`, { method: 'POST', headers: { Authorization: `Bearer ${token}` } });
      const { ticket } = await res.json();
      listen(new Source(`${base}${stream}?ticket=${ticket}${state.last ? `&lastEventId=${state.last}` : ''}`));
    } catch {
      setTimeout(open, 100);
      return;
    }
    // The browser's own attempt re-sends the spent ticket, which ends in 401.
    state.source.onerror = () => {
      if (state.source.readyState !== 2) return;
      state.refused++;
      setTimeout(open, 100);
    };
  };
  if (state.ticket) open();
  else listen(new Source(init ? base + stream : `${base}${stream}?token=${encodeURIComponent(token)}`, init));
}

/** The npm package reconnects by itself, after the `retry:` of the stream. */
function eventsource(base, token, ticket) {
  const state = { ticket, frames: [], refused: 0 };
  const withHeader = { fetch: (to, init) => fetch(to, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }) };
  follow(EventSource, base, path, token, NAMES, state, ticket ? undefined : withHeader);
  const stop = async () => {
    state.stopped = true;
    state.source?.close();
  };
  return { seen: async () => state.frames, refused: async () => state.refused, stop };
}

/** So does a browser; it cannot send a header, so token or ticket is in the URL. */
async function chromium(base, token, ticket) {
  const browser = await launch();
  const { page } = await openPage(browser, base);
  await page.goto('/');
  // As an expression: `follow` comes with its source.
  await page.evaluate(`window.state_ = { ticket: ${ticket}, frames: [], refused: 0 };
    (${follow})(EventSource, '', ${JSON.stringify(path)}, ${JSON.stringify(token)}, ${JSON.stringify(NAMES)}, window.state_)`);
  const stop = () => browser.close();
  return { seen: () => page.evaluate(() => window.state_.frames), refused: () => page.evaluate(() => window.state_.refused), stop };
}

let suite, proxy, api, topology, path;
const clients = new Map();

before(async () => {
  suite = await Suite.start({ DECNET_SSE_MAX_PER_USER: '0' });
  suite.cli('demo');
  proxy = await Proxy.start(suite.port);
  api = await Api.admin(suite);
  topology = await api.demoTopology();
  path = `/api/v1/topologies/${topology.id}/events`;
  const { url } = proxy;
  for (const ticket of [false, true]) {
    const how = ticket ? 'by ticket' : 'by token';
    for (const name of Object.keys(programs)) clients.set(`${name} ${how}`, (ticket ? byTicket : byToken)(name, url, api.token));
    clients.set(`eventsource ${how}`, eventsource(url, api.token, ticket));
    if (!skipWithoutBrowser) clients.set(`Chromium ${how}`, await chromium(url, api.token, ticket));
  }
});

after(async () => {
  for (const c of clients.values()) await c.stop();
  await proxy?.stop();
  await suite?.stop();
});

/** Frames of one mutation as [event, id, data], of every client once each has its end. */
async function ofMutation(id) {
  const found = new Map();
  for (const [name, client] of clients) {
    const mine = async () => (await client.seen()).filter((f) => f.data.payload?.mutation_id === id);
    await eventually(`${name} has the mutation's end`, async () => (await mine()).some((f) => f.event === 'mutation.applied'), 30000);
    found.set(name, (await mine()).map((f) => [f.event, f.id, f.data]));
  }
  return found;
}

async function mutate(name) {
  const body = { op: 'add_decky', payload: { name, lan: 'inner', services: ['redis'] } };
  return (await api.expect(202, 'POST', `/topologies/${topology.id}/mutations`, body)).mutation_id;
}

function assertSame(found) {
  const wanted = found.get('curl by token');
  assert.deepEqual(wanted.map((f) => f[0]), ['mutation.enqueued', 'mutation.applying', 'mutation.applied']);
  for (const [name, frames] of found) assert.deepEqual(frames, wanted, name);
}

test('a browser is here', { skip: skipWithoutBrowser }, () => assert.ok(clients.has('Chromium by token') && clients.has('Chromium by ticket')));

test('each gets the snapshot, then the same frames', async () => {
  for (const [name, client] of clients) {
    await eventually(`${name} has the snapshot`, async () => (await client.seen()).length > 0);
    const [first] = await client.seen();
    assert.equal(first.event, 'snapshot', name);
    assert.equal(first.data.watermark, first.id, name);
    assert.equal(first.data.topology_id, topology.id, name);
  }
  assertSame(await ofMutation(await mutate('clients-01')));
});

/** Every frame of a row, as the journal has it above the snapshot; one snapshot and `resumed` that add up. */
async function assertExactly() {
  for (const [name, client] of clients) {
    const frames = await client.seen();
    const [snapshot] = frames;
    const rows = frames.filter((f) => f.event !== 'snapshot' && f.event !== 'resumed');
    const wanted = (await journal(suite, snapshot.id, rows.at(-1).id)).filter(({ topic, data }) => topic.startsWith('topology.') || data.payload.topology_id === topology.id);
    assert.equal(frames.filter((f) => f.event === 'snapshot').length, 1, `${name}: no life but the first begins with a snapshot`);
    assert.deepEqual(
      rows.map(({ event, id, data }) => ({ event, id, data })),
      wanted.map(({ id, topic, data }) => ({ event: eventName(topic), id, data })),
      name,
    );
    for (const [i, f] of frames.entries()) {
      if (f.event !== 'resumed') continue;
      const sofar = frames.slice(0, i).filter((x) => x.event !== 'resumed');
      assert.ok(f.data.from <= f.data.to && f.data.to === f.id, name);
      assert.equal(f.data.replayed, sofar.filter((x) => x.id > f.data.from).length, `${name}: replayed`);
    }
  }
}

async function eachHasResumed(times) {
  for (const [name, client] of clients)
    await eventually(`${name} has resumed`, async () => (await client.seen()).filter((f) => f.event === 'resumed').length >= times);
}

test('each goes on after the gateway was killed', async () => {
  await suite.kill('decnet-api');
  await suite.ready();
  assertSame(await ofMutation(await mutate('clients-02')));
  await eachHasResumed(1);
  await assertExactly();
});

test('each gets exactly what happened while it was cut off', async () => {
  const before = new Map();
  for (const [name, client] of clients) before.set(name, (await client.seen()).length);
  await proxy.cut();
  const ids = [];
  for (const name of ['clients-03', 'clients-04', 'clients-05']) ids.push(await mutate(name));
  for (const id of ids)
    await eventually('the mutation has ended', async () =>
      (await api.expect(200, 'GET', `/topologies/${topology.id}/mutations?state=applied`)).data.some((m) => m.id === id),
    );
  for (const [name, client] of clients) assert.equal((await client.seen()).length, before.get(name), `${name} heard nothing`);
  await proxy.heal();
  for (const id of ids) assertSame(await ofMutation(id));
  await eachHasResumed(2);
  await assertExactly();
  for (const [name, client] of clients)
    assert.ok((await client.seen()).slice(before.get(name)).some((f) => f.event === 'resumed' && f.data.replayed >= 9), `${name}: three mutations were replayed`);
});

test('a spent ticket is refused, and a new one goes on', async () => {
  for (const [name, client] of clients) if (client.refused && name.endsWith('by ticket')) assert.ok((await client.refused()) > 0, name);
});
