// SPDX-License-Identifier: Apache-2.0
// Starting servers and load programs on processors of their own, talking to them in lines, and stopping them by pid.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build, children, eventually } from '../../e2e/lib/suite.mjs';

/** The server gets the first processor, the load the second. */
export const SERVER_CPU = 0;
export const LOAD_CPU = 1;
export const runs = Number(process.env.RUNS ?? 3);

/** Ends the benchmark unless everything it needs is there. */
export function require(...files) {
  if (availableParallelism() < 2) fail('two processors are needed: one for the server, one for the load');
  for (const file of files) if (!existsSync(file)) fail(`${file} is missing: \`make bench\` installs and builds what is needed`);
}

export function fail(text) {
  console.error(`bench: ${text}`);
  process.exit(1);
}

export function program(name) {
  const path = join(build, 'tests/bench', `bench_${name}`);
  require(path);
  return path;
}

/** A process on one processor, with its standard output in lines. */
export class Program {
  constructor(cpu, path, args, options = {}) {
    this.name = path.split('/').pop();
    this.process = spawn('taskset', ['-c', String(cpu), path, ...args.map(String)], { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.pid = this.process.pid;
    this.errors = '';
    this.lines = [];
    this.waiting = [];
    this.process.stderr?.on('data', (chunk) => (this.errors = (this.errors + chunk).slice(-4000)));
    if (this.process.stdout)
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        this.lines.push(line);
        this.waiting.shift()?.good();
      });
    this.exited = new Promise((good) => this.process.once('close', (code, signal) => good({ code, signal })));
    this.exited.then(() => this.waiting.splice(0).forEach((w) => w.bad()));
  }

  /** The next line that it prints, as JSON. */
  async line() {
    if (this.lines.length === 0 && this.process.exitCode === null && this.process.signalCode === null)
      await new Promise((good, bad) => this.waiting.push({ good, bad: () => bad(new Error(`${this.name} ended: ${this.errors.trim()}`)) }));
    if (this.lines.length === 0) throw new Error(`${this.name} ended: ${this.errors.trim()}`);
    return JSON.parse(this.lines.shift());
  }

  tell(text) {
    this.process.stdin.write(`${text}\n`);
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGTERM');
      const timer = setTimeout(() => this.process.kill('SIGKILL'), 5000);
      await this.exited;
      clearTimeout(timer);
    }
  }
}

/** Resolves when somebody listens. */
export function listening(where) {
  return eventually(`${JSON.stringify(where)} answers`, () =>
    new Promise((good, bad) => {
      const socket = connect(where);
      socket.once('connect', () => {
        socket.destroy();
        good(true);
      });
      socket.once('error', bad);
    }),
  );
}

/** A folder of its own for `work`, removed afterwards. */
export async function withFolder(work) {
  const dir = mkdtempSync(join(tmpdir(), 'decnet-bench-'));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** All processes below this one, itself first. */
export function family(pid) {
  return [pid, ...children(pid).flatMap((c) => family(c.pid))];
}

export function median(list) {
  const s = [...list].sort((a, b) => a - b);
  return s.length % 2 ? s[(s.length - 1) / 2] : (s[s.length / 2 - 1] + s[s.length / 2]) / 2;
}

/** The result whose `key` is the median one. */
export function middle(list, key) {
  return [...list].sort((a, b) => key(a) - key(b))[Math.floor((list.length - 1) / 2)];
}

export function machine() {
  const load = readFileSync('/proc/loadavg', 'utf8').split(' ')[0];
  return `${cpus().length} x ${cpus()[0].model}, Linux ${release()}, node ${process.version}, load ${load} at the start`;
}
