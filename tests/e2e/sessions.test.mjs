// SPDX-License-Identifier: Apache-2.0
// Sessions end once, whatever dies: with their connection, or, when the decoy process is killed, at its next start.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { Viewer } from './lib/sse.mjs';
import { Suite, eventually } from './lib/suite.mjs';

let suite, api, redis, viewer;

before(async () => {
  suite = await Suite.start();
  suite.cli('demo');
  api = await Api.admin(suite);
  const topology = await api.demoTopology();
  const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
  redis = detail.deckies.flatMap((d) => d.endpoints).find((e) => e.service === 'redis');
  viewer = new Viewer(suite.url, '/events', { token: api.token, query: { topics: 'attacker.>' } });
  await viewer.event('snapshot');
});

after(async () => {
  viewer?.cut();
  await suite?.stop();
});

const rows = (event, ip) => viewer.frames.filter((f) => f.event === event && f.data.payload.attacker_ip === ip).map((f) => f.data.payload);

/** An attacker with an open session who has run a command that the viewer has seen. */
async function enter(ip) {
  const socket = await eventually('the decky answers', () => new Promise((good, bad) => {
    const s = connect({ host: redis.address, port: redis.port, localAddress: ip }, () => good(s));
    s.once('error', bad);
  }));
  socket.on('error', () => {});
  await run(socket, ip, 'INFO server');
  const [{ session_id }] = rows('attacker.session.started', ip).slice(-1);
  return { socket, session_id };
}

async function run(socket, ip, command) {
  socket.write(`${command}\r\n`);
  await eventually(`${command} was seen`, () => rows('attacker.observed', ip).some((p) => p.commands?.some((c) => c.command === command)));
}

async function ended(ip, session_id) {
  return eventually('the session has ended', () => rows('attacker.session.ended', ip).find((p) => p.session_id === session_id));
}

test('a session that dies with the decoy ends at its next start, when it was last seen', async () => {
  const ip = '127.9.0.1';
  const { session_id } = await enter(ip);
  const seen = rows('attacker.observed', ip).at(-1).last_seen;
  assert.deepEqual(rows('attacker.session.ended', ip), []);
  await suite.kill('decnet-decoy');
  const end = await ended(ip, session_id);
  assert.equal(end.ended_at, seen);
  assert.ok(end.started_at <= end.ended_at);
  assert.equal(end.duration_s, (Date.parse(end.ended_at) - Date.parse(end.started_at)) / 1000);
  assert.deepEqual(end.commands, ['INFO server']);
});

test('also when the resolver dies with it, and the sessions of the next life go on', async () => {
  const [ip, other] = ['127.9.0.2', '127.9.0.3'];
  const { session_id } = await enter(ip);
  await Promise.all([suite.kill('decnet-resolver'), suite.kill('decnet-decoy')]);
  const next = await enter(other);
  await ended(ip, session_id);
  await run(next.socket, other, 'CONFIG GET dir');
  assert.deepEqual(rows('attacker.session.ended', other), []);
  next.socket.end();
  assert.deepEqual((await ended(other, next.session_id)).commands, ['INFO server', 'CONFIG GET dir']);
});

test('a session outlives the resolver', async () => {
  const ip = '127.9.0.4';
  const { socket, session_id } = await enter(ip);
  await suite.kill('decnet-resolver');
  await run(socket, ip, 'DBSIZE');
  socket.end();
  assert.deepEqual((await ended(ip, session_id)).commands, ['INFO server', 'DBSIZE']);
});

test('the other decoy process ends none of these sessions', async () => {
  const ip = '127.9.0.5';
  const { socket, session_id } = await enter(ip);
  await suite.kill('decnet-decoy --udp');
  await run(socket, ip, 'DBSIZE');
  assert.deepEqual(rows('attacker.session.ended', ip), []);
  socket.end();
  await ended(ip, session_id);
});

test('no session has ended twice', () => {
  const ids = viewer.frames.filter((f) => f.event === 'attacker.session.ended').map((f) => f.data.payload.session_id);
  assert.ok(ids.length >= 5);
  assert.equal(new Set(ids).size, ids.length);
});
