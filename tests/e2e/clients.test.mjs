// SPDX-License-Identifier: Apache-2.0
// One stream, four clients that share no code: each sees the same frames and goes on after the gateway was killed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { EventSource } from 'eventsource';
import { Api } from './lib/api.mjs';
import { launch, openPage, skipWithoutBrowser } from './lib/browser.mjs';
import { FrameParser } from './lib/frames.mjs';
import { Suite, eventually } from './lib/suite.mjs';

const NAMES = ['snapshot', 'resumed', 'status', 'decky.state', ...['enqueued', 'applying', 'applied', 'failed', 'cancelled'].map((s) => `mutation.${s}`)];

const PYTHON = `
import sys, urllib.request
url, token, last = sys.argv[1:4]
headers = {"Authorization": "Bearer " + token}
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
      const [name, ...args] = this.command(last);
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

const curl = (url, token) =>
  new Program((last) => ['curl', '-s', '-f', '-N', '-H', `Authorization: Bearer ${token}`, ...(last ? ['-H', `Last-Event-ID: ${last}`] : []), url]);
const python = (url, token) => new Program((last) => ['python3', '-c', PYTHON, url, token, String(last)]);

/** The npm package reconnects by itself, after the `retry:` of the stream. */
function package_(url, token) {
  const frames = [];
  const source = new EventSource(url, {
    fetch: (to, init) => fetch(to, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
  });
  for (const name of NAMES)
    source.addEventListener(name, (e) => frames.push({ event: name, id: Number(e.lastEventId), data: JSON.parse(e.data) }));
  return { seen: async () => frames, stop: async () => source.close() };
}

/** So does a browser; it cannot send a header, so the token is in the URL. */
async function chromium(base, path, token) {
  const browser = await launch();
  const { page } = await openPage(browser, base);
  await page.goto('/');
  await page.evaluate(
    ({ url, names }) => {
      window.frames_ = [];
      window.source_ = new EventSource(url);
      for (const name of names)
        window.source_.addEventListener(name, (e) => window.frames_.push({ event: name, id: Number(e.lastEventId), data: JSON.parse(e.data) }));
    },
    { url: `${path}?token=${encodeURIComponent(token)}`, names: NAMES },
  );
  return { seen: () => page.evaluate(() => window.frames_), stop: () => browser.close() };
}

let suite, api, topology, path;
const clients = new Map();

before(async () => {
  suite = await Suite.start({ DECNET_SSE_MAX_PER_USER: '0' });
  suite.cli('demo');
  api = await Api.admin(suite);
  topology = await api.demoTopology();
  path = `/api/v1/topologies/${topology.id}/events`;
  clients.set('curl', curl(suite.url + path, api.token));
  clients.set('urllib', python(suite.url + path, api.token));
  clients.set('eventsource', package_(suite.url + path, api.token));
  if (!skipWithoutBrowser) clients.set('Chromium', await chromium(suite.url, path, api.token));
});

after(async () => {
  for (const c of clients.values()) await c.stop();
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
  const wanted = found.get('curl');
  assert.deepEqual(wanted.map((f) => f[0]), ['mutation.enqueued', 'mutation.applying', 'mutation.applied']);
  for (const [name, frames] of found) assert.deepEqual(frames, wanted, name);
}

test('a browser is here', { skip: skipWithoutBrowser }, () => assert.ok(clients.has('Chromium')));

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

test('each goes on after the gateway was killed', async () => {
  await suite.kill('decnet-api');
  await suite.ready();
  assertSame(await ofMutation(await mutate('clients-02')));
  for (const [name, client] of clients) {
    await eventually(`${name} has resumed`, async () => (await client.seen()).some((f) => f.event === 'resumed'));
    const frames = await client.seen();
    const ids = frames.filter((f) => f.event !== 'snapshot' && f.event !== 'resumed').map((f) => f.id);
    assert.equal(frames.filter((f) => f.event === 'snapshot').length, 1, `${name}: the second life begins without a snapshot`);
    assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b), `${name}: ids rise, none comes twice`);
  }
});
