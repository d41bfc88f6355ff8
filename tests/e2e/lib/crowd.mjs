// SPDX-License-Identifier: Apache-2.0
// Ten thousand peers at once, from a child with as many descriptors as it may have.
import { execFileSync, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const peer = join(dirname(fileURLToPath(import.meta.url)), 'crowd-peer.mjs');

/** How many descriptors a process may have here. */
export const mayOpen = () => {
  const text = execFileSync('bash', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  return text === 'unlimited' ? Infinity : Number(text);
};

export class Crowd {
  constructor(port, count, text, { addresses = 8 } = {}) {
    this.lines = [];
    this.waiters = new Set();
    this.process = spawn('bash', ['-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'bash', process.execPath, peer, port, count, addresses, Buffer.from(text).toString('base64')].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = new Promise((good) => this.process.once('exit', good));
    createInterface({ input: this.process.stdout }).on('line', (l) => {
      this.lines.push(JSON.parse(l));
      for (const w of [...this.waiters]) w();
    });
  }

  /** The first word of that kind. */
  wait(what, deadlineMs = 60000) {
    return new Promise((good, bad) => {
      const timer = setTimeout(() => {
        this.waiters.delete(look);
        bad(new Error(`the crowd: ${what}: not within ${deadlineMs} ms; ${JSON.stringify(this.lines.at(-1))}`));
      }, deadlineMs);
      const look = () => {
        const found = this.lines.find((l) => l.what === what);
        if (!found) return;
        clearTimeout(timer);
        this.waiters.delete(look);
        good(found);
      };
      this.waiters.add(look);
      look();
    });
  }

  async stop() {
    this.process.stdin.end();
    await this.exited;
  }
}
