// SPDX-License-Identifier: Apache-2.0
// Starts the real suite from a build folder on free ports with a state directory of its own, and stops it by pid.
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';

const here = dirname(fileURLToPath(import.meta.url));
export const build = resolve(process.env.DECNET_BUILD ?? join(here, '../../../build-gcc'));
export const decnet = join(build, 'src/main/decnet');
export const ADMIN_PASSWORD = 'first-password-of-the-tests';

/** A TCP port that nobody listens on right now. */
export function freePort() {
  return new Promise((good, bad) => {
    const server = createServer();
    server.once('error', bad);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => good(port));
    });
  });
}

/** Calls `check` until it gives something true; fails with `what` at the deadline. */
export async function eventually(what, check, deadlineMs = 15000) {
  const end = Date.now() + deadlineMs;
  let last;
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms${last ? ` (${last.message})` : ''}`);
    await pause(20);
  }
}

/** Children of a process: [{pid, name}], the name with what it was started with. */
export function children(pid) {
  const found = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const after = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const [program, ...args] = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0').filter(Boolean);
      const name = [program.split('/').pop(), ...args].join(' ');
      if (Number(after[1]) === pid && after[0] !== 'Z') found.push({ pid: Number(entry), name });
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

export class Suite {
  static async start(env = {}) {
    const s = new Suite();
    s.dir = mkdtempSync(join(tmpdir(), 'decnet-e2e-'));
    s.port = await freePort();
    s.log = '';
    s.env = {
      PATH: process.env.PATH,
      HOME: s.dir,
      DECNET_STATE_DIR: s.dir,
      DECNET_BUS_SOCKET: join(s.dir, 'bus.sock'),
      DECNET_API_PORT: String(s.port),
      DECNET_METRICS_LISTEN: '',
      DECNET_NET_DRIVER: 'loopback',
      DECNET_PORT_OFFSET: String(20000 + Math.floor(Math.random() * 30000)),
      DECNET_ADMIN_PASSWORD: ADMIN_PASSWORD,
      DECNET_LOG_LEVEL: 'debug',
      ...env,
    };
    s.url = `${env.DECNET_TLS_CERT ? 'https' : 'http'}://127.0.0.1:${s.port}`;
    // The tests' certificates are their own; tls.test.mjs looks at them with clients that check.
    if (env.DECNET_TLS_CERT) process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    s.process = spawn(decnet, ['up', '--foreground'], { env: s.env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    for (const out of [s.process.stdout, s.process.stderr]) out.on('data', (chunk) => (s.log += chunk));
    s.exited = new Promise((good) => s.process.once('exit', (code, signal) => good({ code, signal })));
    try {
      await eventually('the suite is ready', async () => (await fetch(`${s.url}/readyz`)).status === 200, 30000);
    } catch (e) {
      await s.stop();
      throw new Error(`${e.message}\n${s.log}`);
    }
    return s;
  }

  /** Runs the command line against this suite; gives its standard output. */
  cli(...args) {
    return execFileSync(decnet, args, { env: { ...this.env, DECNET_URL: this.url }, encoding: 'utf8' });
  }

  pid(name) {
    return children(this.process.pid).find((c) => c.name === name)?.pid;
  }

  /** kill -9 of one process; resolves when the supervisor has started another one. */
  async kill(name, { wait = true } = {}) {
    const pid = this.pid(name);
    if (!pid) return false;
    process.kill(pid, 'SIGKILL');
    if (wait) await eventually(`${name} is back`, () => this.pid(name) && this.pid(name) !== pid, 20000);
    return true;
  }

  async ready(deadlineMs = 20000) {
    await eventually('the API is ready', async () => (await fetch(`${this.url}/readyz`)).status === 200, deadlineMs);
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGTERM');
      const timer = setTimeout(() => process.kill(-this.process.pid, 'SIGKILL'), 25000);
      await this.exited;
      clearTimeout(timer);
    }
    rmSync(this.dir, { recursive: true, force: true });
    // A process that a sanitizer has ended is started again, and nobody would notice.
    const report = /^.*(?:AddressSanitizer|LeakSanitizer|runtime error: ).*$/m.exec(this.log);
    if (report) throw new Error(`${report[0]}\n${this.log.slice(report.index, report.index + 4000)}`);
  }
}
