// SPDX-License-Identifier: Apache-2.0
// Runs in an attacker's namespace: for each line `ADDRESS PORT` connects until it is let in, and answers with the number of attempts. Started by netns_suite.mjs.
import net from 'node:net';
import { createInterface } from 'node:readline';

const knock = (host, port) =>
  new Promise((good) => {
    const socket = net.connect({ host, port });
    socket.setTimeout(1000);
    const end = (open) => {
      socket.destroy();
      good(open);
    };
    socket.on('connect', () => end(true));
    for (const how of ['error', 'timeout']) socket.on(how, () => end(false));
  });

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [host, port] = line.split(' ');
  let attempts = 1;
  while (!(await knock(host, Number(port)))) attempts++;
  console.log(attempts);
}
