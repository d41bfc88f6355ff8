// SPDX-License-Identifier: Apache-2.0
// The whole suite on real networks: topologies of a thousand deckies on one LAN each, then mutations until the viewer's frame and until a
// connection from the LAN gets in. As root.
//   DECNET_BUILD=build-gcc node tests/bench/netns_suite.mjs      DECKIES=1000,3000 N=100
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Api } from '../e2e/lib/api.mjs';
import { Fabric } from '../e2e/lib/fabric.mjs';
import { Viewer } from '../e2e/lib/sse.mjs';
import { Suite, eventually } from '../e2e/lib/suite.mjs';
import { Report } from './lib/report.mjs';

const N = Number(process.env.N ?? 100);
const SIZES = (process.env.DECKIES ?? '1000,3000').split(',').map(Number);
const A_TOPOLOGY = 980;
const ms = (x) => x.toFixed(2);

function quantiles(list) {
  const s = [...list].sort((a, b) => a - b);
  const at = (q) => s[Math.min(s.length - 1, Math.ceil(q * s.length) - 1)];
  return { p50: at(0.5), p99: at(0.99) };
}

/** One more topology, all its deckies on one LAN. Resolves with its path, its LAN, and seconds from deploy to active. */
async function network(api, which, size) {
  const { id } = await api.expect(201, 'POST', '/topologies/blank', { name: `wide-${which}` });
  const at = `/topologies/${id}`;
  const gateway = (await api.expect(200, 'GET', at)).deckies[0];
  const lan = await api.expect(201, 'POST', `${at}/lans`, { name: 'wide', subnet: `10.${which}.0.0/20` });
  await api.expect(201, 'POST', `${at}/edges`, { decky_uuid: gateway.uuid, lan_id: lan.id });
  for (let i = 0; i + 1 < size; i++) {
    const { uuid } = await api.expect(201, 'POST', `${at}/deckies`, { name: `d-${i}`, services: ['http', 'redis', 'telnet'] });
    await api.expect(201, 'POST', `${at}/edges`, { decky_uuid: uuid, lan_id: lan.id });
  }
  const begin = performance.now();
  await api.expect(202, 'POST', `${at}/deploy`);
  await eventually('it is active', async () => (await api.get(`${at}/status-events`)).body[0].to_status === 'active', 240000);
  return { at, lan, seconds: (performance.now() - begin) / 1000 };
}

/** Somebody on the LAN who knocks at doors: a function of address and port that resolves when it was let in. */
async function visitor(fabric, lan, which) {
  const attacker = await fabric.attacker(lan.id, `10.${which}.15.200/20`);
  const child = spawn('nsenter', attacker.args(process.execPath, [fileURLToPath(new URL('lib/knock.mjs', import.meta.url))]), { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return {
    async knock(address, port) {
      child.stdin.write(`${address} ${port}\n`);
      return Number((await lines.next()).value);
    },
    leave() {
      child.kill();
      attacker.leave();
    },
  };
}

async function measure(suite, api, { at, lan }, which) {
  const stream = new Viewer(suite.url, `${at}/events`, { token: api.token });
  const who = await visitor(new Fabric(suite), lan, which);
  const times = { post: [], applied: [], connected: [], service: [], floor: [], removed: [] };
  let again = 0;
  await stream.event('snapshot');
  const mutate = async (op, payload) => {
    const from = stream.frames.length;
    const begin = performance.now();
    const { mutation_id } = await api.expect(202, 'POST', `${at}/mutations`, { op, payload });
    const posted = performance.now() - begin;
    const f = await stream.wait(op, (x) => /^mutation\.(applied|failed)$/.test(x.event) && x.data.payload.mutation_id === mutation_id, { from });
    if (f.event !== 'mutation.applied') throw new Error(JSON.stringify(f.data));
    return { begin, posted, applied: f.at - begin, changes: f.data.payload.changes };
  };
  for (let i = 0; i < N; i++) {
    const decky = `bench-${i}`;
    // An address of its own: who had spoken with another decky at that address would look for its hardware address for seconds.
    const add = await mutate('add_decky', { name: decky, lan: 'wide', ip: `10.${which}.12.${i + 1}`, services: ['http', 'telnet'] });
    const e = add.changes.find((c) => c.kind === 'decky').row.endpoints.find((x) => x.service === 'http');
    again += (await who.knock(e.address, e.port)) - 1;
    times.post.push(add.posted);
    times.applied.push(add.applied);
    times.connected.push(performance.now() - add.begin);
    const begin = performance.now();
    await who.knock(e.address, e.port);
    times.floor.push(performance.now() - begin);
    const service = await mutate('update_decky', { decky, services: ['http', 'telnet', 'redis'] });
    await who.knock(e.address, 6379);
    times.service.push(performance.now() - service.begin);
    times.removed.push((await mutate('remove_decky', { decky })).applied);
    await pause(60);
  }
  stream.cut();
  who.leave();
  return { ...Object.fromEntries(Object.entries(times).map(([k, v]) => [k, quantiles(v)])), again };
}

const suite = await Suite.start({ DECNET_LOG_LEVEL: 'warning', DECNET_NET_DRIVER: 'netns' });
const report = new Report('netns_suite', `The whole suite on real networks, ${N} of each mutation`);
try {
  const api = await Api.admin(suite);
  const rows = [];
  let there = 0;
  let topologies = 0;
  let last;
  for (const size of SIZES) {
    let seconds = 0;
    let made = 0;
    while (there < size) {
      const n = Math.min(A_TOPOLOGY, size - there);
      last = await network(api, 100 + topologies++, n);
      seconds += last.seconds;
      made += n;
      there += n;
    }
    const r = await measure(suite, api, last, 100 + topologies - 1);
    const two = (q) => `${ms(q.p50)} / ${ms(q.p99)}`;
    report.data[size] = { ...r, deploy_ms: (seconds * 1000) / made };
    rows.push([`${there} on ${topologies} LANs`, ms((seconds * 1000) / made), two(r.post), two(r.floor), two(r.applied), two(r.connected), r.again, two(r.service), two(r.removed)]);
  }
  report.table('Milliseconds, p50 / p99, one after the other', ['deckies of 3 services', 'deploy to active, each', 'floor: POST and its 202', 'floor: a connection', 'add_decky to mutation.applied', 'add_decky to the first connection',
    'refused meanwhile', 'a service more, to its first connection', 'remove_decky to mutation.applied'], rows);
  report.write();
} catch (e) {
  console.error(e);
  process.exitCode = 1;
} finally {
  await suite.stop();
}
