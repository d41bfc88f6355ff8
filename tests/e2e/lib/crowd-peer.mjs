// SPDX-License-Identifier: Apache-2.0
// Many peers in a process of their own: each connects and sends what it was told, then waits. Speaks JSON lines with its parent.
import net from 'node:net';

const [port, count, addresses, text] = [Number(process.argv[2]), Number(process.argv[3]), Number(process.argv[4]), Buffer.from(process.argv[5], 'base64')];
const told = { connected: 0, failed: 0, closed: 0, statuses: {} };
const sockets = [];
let next = 0;
let waiting = 0;

const say = (what) => process.stdout.write(`${JSON.stringify({ what, ...told })}\n`);

function one(i) {
  let answer = '';
  let up = false;
  // Port ranges are each address's own.
  const s = net.connect({ port, host: '127.0.0.1', localAddress: `127.8.0.${1 + (i % addresses)}` });
  sockets.push(s);
  waiting++;
  const settled = () => {
    waiting--;
    more();
  };
  s.once('connect', () => {
    up = true;
    told.connected++;
    s.write(text);
    settled();
  });
  s.on('data', (d) => (answer += d.toString('latin1')));
  s.on('error', () => {});
  s.once('close', () => {
    if (!up) {
      told.failed++;
      settled();
    }
    told.closed++;
    const status = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 'none';
    told.statuses[status] = (told.statuses[status] ?? 0) + 1;
    if (told.closed === count) say('all closed');
  });
}

function more() {
  while (next < count && waiting < 400) one(next++);
  if (next === count && waiting === 0) say('all connected');
}

process.stdin.on('data', () => say('now'));
process.stdin.on('end', () => process.exit(0));
more();
