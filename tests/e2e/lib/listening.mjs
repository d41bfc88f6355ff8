// SPDX-License-Identifier: Apache-2.0
// Where processes listen and how much they hold, as the kernel has it: the deckies' ports, past what the product says of them.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { children } from './suite.mjs';

function sockets(pid) {
  const found = new Set();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const m = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`));
      if (m) found.add(m[1]);
    } catch {
      // It was closed while we looked.
    }
  }
  return found;
}

/** "address:port" of every TCP socket on 127.100.0.0/16 on which this process listens. */
export function listening(pid) {
  const own = sockets(pid);
  const found = [];
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (state !== '0A' || !own.has(inode)) continue;
    const [hex, port] = local.split(':');
    const address = hex.match(/../g).reverse().map((b) => parseInt(b, 16)).join('.');
    if (address.startsWith('127.100.')) found.push(`${address}:${parseInt(port, 16)}`);
  }
  return [...new Set(found)].sort();
}

/** The same of all processes of a suite. */
export function listeningAll(suite) {
  const found = new Set();
  for (const { pid } of children(suite.process.pid)) {
    try {
      for (const at of listening(pid)) found.add(at);
    } catch {
      // It ended while we looked.
    }
  }
  return [...found].sort();
}

/** What REST says of the same. */
export function told(details) {
  return details.flatMap((d) => d.deckies.flatMap((x) => x.endpoints.map((e) => `${e.address}:${e.port}`))).sort();
}
