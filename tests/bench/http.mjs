// SPDX-License-Identifier: Apache-2.0
// Requests per second: a small JSON GET that needs no store beside nginx, and one identity from SQLite.
//   DECNET_BUILD=build-gcc node tests/bench/http.mjs          RUNS=3 SECONDS=5
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Api } from '../e2e/lib/api.mjs';
import { Suite, eventually, freePort } from '../e2e/lib/suite.mjs';
import { NGINX } from './lib/fanout.mjs';
import { LOAD_CPU, Program, SERVER_CPU, family, listening, middle, require, runs, withFolder } from './lib/programs.mjs';
import { Report, ratio, thousands } from './lib/report.mjs';

const WRK = '/usr/bin/wrk';
const SECONDS = Number(process.env.SECONDS ?? 5);
require(NGINX, WRK);

/** wrk says what it saw as one line of JSON; microseconds. */
const script = `
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"per_s":%f,"p50":%f,"p99":%f,"errors":%d}\\n', summary.requests, summary.requests / summary.duration * 1e6,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`;

const nginxConf = (dir, port) => `
daemon off;
master_process off;
user root;
pid ${dir}/pid;
error_log ${dir}/error.log warn;
events { worker_connections 2000; use epoll; multi_accept on; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  keepalive_requests 100000000;
  tcp_nodelay on;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /healthz {
      default_type application/json;
      add_header Cache-Control no-store;
      add_header X-Content-Type-Options nosniff;
      add_header Referrer-Policy no-referrer;
      return 200 '{"status":"ok"}';
    }
  }
}
`;

/** CPU time of a process and all its threads so far, in microseconds; the kernel counts hundredths of a second. */
function cpu(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13);
  return (Number(user) + Number(system)) * 1e4;
}

async function load(dir, { pid, token }, url, connections) {
  const args = ['-t', '1', '-c', connections, '-d', `${SECONDS}s`, '--latency', '-s', join(dir, 'report.lua')];
  if (token) args.push('-H', `Authorization: Bearer ${token}`);
  const before = cpu(pid);
  const wrk = new Program(LOAD_CPU, WRK, [...args, url]);
  await wrk.exited;
  const line = wrk.lines.find((l) => l.startsWith('{'));
  if (!line) throw new Error(`wrk: ${wrk.errors}`);
  const said = JSON.parse(line);
  return { ...said, cpu_us: (cpu(pid) - before) / said.requests };
}

async function withNginx(dir, work) {
  const port = await freePort();
  writeFileSync(join(dir, 'nginx.conf'), nginxConf(dir, port));
  const server = new Program(SERVER_CPU, NGINX, ['-p', dir, '-c', join(dir, 'nginx.conf')]);
  try {
    await listening({ host: '127.0.0.1', port });
    return await work({ url: `http://127.0.0.1:${port}`, pid: server.pid });
  } finally {
    await server.stop();
  }
}

/** A suite with one identity; what `work` needs to ask for it. */
async function withSuite(work) {
  const suite = await Suite.start({ DECNET_LOG_LEVEL: 'warning', DECNET_API_WORKERS: '1' });
  try {
    suite.cli('demo');
    const api = await Api.admin(suite);
    const topology = await api.demoTopology();
    const detail = await api.expect(200, 'GET', `/topologies/${topology.id}`);
    const e = detail.deckies.flatMap((d) => d.endpoints).find((x) => x.service === 'http');
    await fetch(`http://${e.address}:${e.port}/`);
    const id = await eventually('an identity', async () => (await api.expect(200, 'GET', '/identities')).data[0]?.uuid);
    for (const pid of family(suite.process.pid)) spawnSync('taskset', ['-a', '-c', '-p', String(SERVER_CPU), String(pid)]);
    return await work({ url: suite.url, token: api.token, identity: `${suite.url}/api/v1/identities/${id}`, pid: suite.pid('decnet-api') });
  } finally {
    await suite.stop();
  }
}

const SMALL = [16, 256];
const got = { decnet: { 16: [], 256: [] }, nginx: { 16: [], 256: [] }, identity: [] };

await withFolder(async (dir) => {
  writeFileSync(join(dir, 'report.lua'), script);
  await withSuite((suite) =>
    withNginx(dir, async (nginx) => {
      for (let i = 0; i < runs; i++) {
        for (const c of SMALL) {
          got.decnet[c].push(await load(dir, { pid: suite.pid }, `${suite.url}/healthz`, c));
          got.nginx[c].push(await load(dir, nginx, `${nginx.url}/healthz`, c));
        }
        got.identity.push(await load(dir, suite, suite.identity, 64));
        console.error(`run ${i + 1} of ${runs}`);
      }
    }),
  );
});

const report = new Report('http', `Requests, median of ${runs}, ${SECONDS} s each`);
report.data = got;
const rate = (r) => r.per_s;
const cost = (r) => r.cpu_us;
const us = (r) => r.cpu_us.toFixed(1);
report.table(
  'A small JSON GET without the store',
  ['connections', 'requests per second: decnet', 'nginx', 'decnet / nginx', 'target', '', 'server CPU µs per request: decnet', 'nginx'],
  SMALL.map((c) => {
    const [d, n] = [middle(got.decnet[c], rate).per_s, middle(got.nginx[c], rate).per_s];
    return [c, thousands(d), thousands(n), ratio(d, n), '≥ 0.9x', Report.check(d >= 0.9 * n), us(middle(got.decnet[c], cost)), us(middle(got.nginx[c], cost))];
  }),
);
const one = middle(got.identity, rate);
const errors = [...got.identity, ...Object.values(got.decnet).flat()].reduce((s, r) => s + r.errors, 0);
report.table(
  '`GET /identities/{uuid}` from SQLite, 64 connections',
  ['', 'decnet', 'target', ''],
  [
    ['requests per second', thousands(one.per_s), '≥ 15,000', Report.check(one.per_s >= 15000)],
    ['p50 (ms)', (one.p50 / 1000).toFixed(1), '', ''],
    ['p99 (ms)', (one.p99 / 1000).toFixed(1), '≤ 15', Report.check(one.p99 <= 15000)],
    ['server CPU µs per request', us(middle(got.identity, cost)), '', ''],
    ['errors of wrk, all runs', errors, '0', Report.check(errors === 0)],
  ],
);
report.write();
