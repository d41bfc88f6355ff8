// SPDX-License-Identifier: Apache-2.0
// What an idle viewer costs decnet-api, by the way it came: user memory, for plain HTTP, TLS, and HTTP/2 with one and with five streams.
//   DECNET_BUILD=build-gcc node tests/bench/viewers.mjs          CONNECTIONS=1000
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { setTimeout as pause } from 'node:timers/promises';
import { Api } from '../e2e/lib/api.mjs';
import { Suite } from '../e2e/lib/suite.mjs';
import { Session, makeCertificate } from '../e2e/lib/tls.mjs';
import { withFolder } from './lib/programs.mjs';
import { Report } from './lib/report.mjs';

const CONNECTIONS = Number(process.env.CONNECTIONS ?? 1000);
const FIRST = 50; // what only the first ones cost is not counted
const PATH = '/identities/events';

const anonKiB = (pid) => Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

/** One viewer by HTTP/1.1 on that socket; resolves when its snapshot is there. */
function viewer(socket, token) {
  return new Promise((good, bad) => {
    let text = '';
    socket.on('error', bad);
    socket.on('data', (chunk) => {
      text = (text + chunk).slice(-4096);
      if (text.includes('event: snapshot')) good(socket);
    });
    socket.write(`GET /api/v1${PATH} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  });
}

const ways = {
  plain: { streams: 1, target: 1024, open: ({ port, token }) => viewer(net.connect(port, '127.0.0.1'), token) },
  TLS: { streams: 1, target: 20480, open: ({ port, token }) => viewer(tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }), token) },
  ...Object.fromEntries(
    [1, 5].map((n) => [
      `TLS, HTTP/2, streams per connection: ${n}`,
      {
        streams: n,
        open: async ({ port, cert, token }) => {
          const session = new Session(port, cert);
          for (let i = 0; i < n; i++) await session.events(PATH, token).event('snapshot');
        },
      },
    ]),
  ),
};

async function measure(way, secure, { cert, key }) {
  const files = secure ? { DECNET_TLS_CERT: cert, DECNET_TLS_KEY: key } : {};
  const suite = await Suite.start({ DECNET_LOG_LEVEL: 'warning', DECNET_API_WORKERS: '1', DECNET_SSE_MAX_PER_USER: '0', ...files });
  try {
    const { token } = await Api.admin(suite);
    const pid = suite.pid('decnet-api');
    const open = async (n) => {
      for (let i = 0; i < n; i++) await way.open({ port: suite.port, cert, token });
      await pause(1000);
    };
    await open(FIRST);
    const before = anonKiB(pid);
    await open(CONNECTIONS);
    return ((anonKiB(pid) - before) * 1024) / CONNECTIONS / way.streams;
  } finally {
    await suite.stop();
  }
}

const report = new Report('viewers', `Memory of idle viewers, ${CONNECTIONS} connections each`);
await withFolder(async (dir) => {
  const files = makeCertificate(dir, 'bench');
  for (const [name, way] of Object.entries(ways)) report.data[name] = await measure(way, name !== 'plain', files);
});
report.table(
  'Bytes of user memory per viewer',
  ['', 'bytes', 'target', ''],
  Object.entries(ways).map(([name, way]) => [
    name,
    Math.round(report.data[name]),
    way.target ? `≤ ${way.target}` : '',
    way.target ? Report.check(report.data[name] <= way.target) : '',
  ]),
);
report.write();
process.exit(0);
