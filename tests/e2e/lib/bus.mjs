// SPDX-License-Identifier: Apache-2.0
// A real decnet-bus on a socket of its own, and peers that say what they want to it.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytes } from './raw.mjs';
import { build, eventually, freePort } from './suite.mjs';

export const TOKEN = 'a-token-of-more-than-sixteen';

export class Broker {
  static async start(env = {}) {
    const b = new Broker();
    b.dir = mkdtempSync(join(tmpdir(), 'decnet-bus-'));
    b.path = join(b.dir, 'bus.sock');
    b.port = await freePort();
    b.log = '';
    b.process = spawn(join(build, 'src/main/decnet-bus'), [], {
      env: { PATH: process.env.PATH, HOME: b.dir, DECNET_STATE_DIR: b.dir, DECNET_BUS_SOCKET: b.path, DECNET_BUS_LISTEN: `127.0.0.1:${b.port}`, DECNET_BUS_TOKEN: TOKEN, DECNET_LOG_LEVEL: 'debug', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const out of [b.process.stdout, b.process.stderr]) out.on('data', (chunk) => (b.log += chunk));
    b.exited = new Promise((good) => b.process.once('exit', good));
    try {
      await eventually('the broker answers', async () => {
        const p = new BusPeer({ path: b.path });
        await p.said('INFO ');
        p.cut();
        return true;
      });
    } catch (e) {
      await b.stop();
      throw new Error(`${e.message}\n${b.log}`);
    }
    return b;
  }

  get pid() {
    return this.process.pid;
  }

  /** A peer that has said CONNECT and heard PONG. */
  async peer(connect = {}, tcp = false) {
    const p = new BusPeer(tcp ? { port: this.port, host: '127.0.0.1' } : { path: this.path });
    p.say(`CONNECT ${JSON.stringify({ verbose: false, ...(tcp ? { auth_token: TOKEN } : {}), ...connect })}\r\nPING\r\n`);
    await p.said('PONG\r\n');
    return p;
  }

  raw(tcp = false) {
    return new BusPeer(tcp ? { port: this.port, host: '127.0.0.1' } : { path: this.path });
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGTERM');
      await this.exited;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export class BusPeer {
  constructor(where) {
    this.text = '';
    this.closed = false;
    this.waiters = new Set();
    this.socket = net.connect(where);
    this.socket.on('data', (d) => {
      this.text += d.toString('latin1');
      this.#wake();
    });
    this.socket.on('error', (e) => (this.failure = e));
    this.socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  #wake() {
    for (const w of [...this.waiters]) w();
  }

  say(...parts) {
    this.socket.write(bytes(parts));
    return this;
  }

  /** Resolves when `test` is true; fails at the deadline or when the broker has closed. */
  until(what, test, deadlineMs = 20000) {
    return new Promise((good, bad) => {
      const done = (f, v) => {
        clearTimeout(timer);
        this.waiters.delete(look);
        f(v);
      };
      const look = () => {
        const v = test();
        if (v) done(good, v);
        else if (this.closed) done(bad, new Error(`${what}: closed (${this.failure?.message}); heard ${JSON.stringify(this.text.slice(-300))}`));
      };
      const timer = setTimeout(() => done(bad, new Error(`${what}: not within ${deadlineMs} ms; heard ${JSON.stringify(this.text.slice(-300))}`)), deadlineMs);
      this.waiters.add(look);
      look();
    });
  }

  said(text, deadlineMs) {
    return this.until(JSON.stringify(text), () => this.text.includes(text), deadlineMs);
  }

  async end(deadlineMs) {
    await this.until('the end', () => this.closed, deadlineMs);
  }

  /** What the broker has said since `mark`, once it has answered a PING of ours. */
  async since(mark) {
    this.say('PING\r\n');
    await this.until('PONG', () => this.text.slice(mark).includes('PONG\r\n'));
    const heard = this.text.slice(mark);
    return heard.slice(0, heard.lastIndexOf('PONG\r\n'));
  }

  cut() {
    this.socket.destroy();
  }
}
