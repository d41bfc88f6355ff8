// SPDX-License-Identifier: Apache-2.0
// Both brokers on free ports of the loopback, and clients that are plain sockets and write down every byte.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, eventually, freePort } from './suite.mjs';

export const TOKEN = 'a-token-of-sixteen-or-more';
/** What opens either broker: ours looks at the token, nats-server at user and password. */
export const CREDENTIALS = { auth_token: TOKEN, user: 'guest', pass: TOKEN };

/** A program that serves on a port of its own until `stop()`. */
class Broker {
  static async spawn(label, name, makeArgs) {
    const b = new Broker();
    b.label = label;
    b.dir = mkdtempSync(join(tmpdir(), 'decnet-broker-'));
    b.port = await freePort();
    b.log = '';
    const { args, env } = makeArgs(b);
    b.process = spawn(name, args, { env: { PATH: process.env.PATH, HOME: b.dir, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const out of [b.process.stdout, b.process.stderr]) out.on('data', (chunk) => (b.log += chunk));
    b.process.once('error', (e) => (b.log += e.message));
    b.exited = new Promise((good) => b.process.once('exit', good));
    try {
      await eventually(`${label} listens`, () => reachable(b.port));
    } catch (e) {
      await b.stop();
      throw new Error(`${e.message}\n${b.log}`);
    }
    return b;
  }

  async stop() {
    if (this.process.pid && this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGTERM');
      await this.exited;
    }
    rmSync(this.dir, { recursive: true, force: true });
    if (/Sanitizer|runtime error: /.test(this.log)) throw new Error(this.log);
  }
}

function reachable(port) {
  return new Promise((good) => {
    const socket = dial(port, '127.0.0.1', () => good(socket.destroy() && true));
    socket.once('error', () => good(false));
  });
}

export function ourBroker(env = {}) {
  return Broker.spawn('decnet-bus', join(build, 'src/main/decnet-bus'), (b) => ({
    args: [],
    env: {
      DECNET_STATE_DIR: b.dir,
      DECNET_BUS_SOCKET: join(b.dir, 'bus.sock'),
      DECNET_BUS_LISTEN: `127.0.0.1:${b.port}`,
      DECNET_BUS_TOKEN: TOKEN,
      DECNET_LOG_LEVEL: 'warning',
      ...env,
    },
  }));
}

/** nats-server with the ceilings and the rights that ours has for guests. */
export function natsServer() {
  return Broker.spawn('nats-server', 'nats-server', (b) => {
    const file = join(b.dir, 'nats.conf');
    const rights = ['ext.>', 'topology.*.ext.>', 'decky.*.ext.>', 'attacker.ext.>', 'identity.ext.>', '_INBOX.>'];
    writeFileSync(
      file,
      `listen: "127.0.0.1:${b.port}"
max_connections: 1024
max_subscriptions: 1024
max_control_line: 4096
max_payload: 1048576
ping_interval: "30s"
ping_max: 2
authorization {
  timeout: 5
  users: [{ user: "guest", password: "${TOKEN}", permissions: { publish: ${JSON.stringify(rights)} } }]
}
`,
    );
    return { args: ['-c', file], env: {} };
  });
}

const readable = (text) => JSON.stringify(text).slice(1, -1);
const short = (text) => (text.length > 200 ? `${text.slice(0, 60)}…${text.length} bytes` : text);

/** A socket whose talk is kept: `> ` what was said, `< ` each line that came. */
export class RawClient {
  constructor(port, name, transcript) {
    this.name = name;
    this.transcript = transcript;
    this.buffer = '';
    this.pongs = 0;
    this.closed = false;
    this.waiters = new Set();
    // Bytes as they are: latin1 loses none.
    this.socket = dial(port, '127.0.0.1');
    this.socket.setNoDelay(true);
    this.socket.setEncoding('latin1');
    this.socket.on('data', (chunk) => this.#feed(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      if (this.buffer) this.#note('<', this.buffer);
      this.#note('<', '(closed)');
      this.closed = true;
      this.#wake();
    });
  }

  #note(direction, text) {
    this.transcript.push(`${direction} ${readable(short(text))}`);
  }

  #wake() {
    for (const w of [...this.waiters]) w();
  }

  /** Whole lines; a message is one entry with its payload. */
  #feed(chunk) {
    this.buffer += chunk;
    for (;;) {
      const eol = this.buffer.indexOf('\r\n');
      if (eol < 0) break;
      const line = this.buffer.slice(0, eol);
      let end = eol + 2;
      if (/^H?MSG /.test(line)) {
        end += Number(line.split(' ').at(-1)) + 2;
        if (this.buffer.length < end) break;
      }
      const unit = this.buffer.slice(0, end);
      this.buffer = this.buffer.slice(end);
      if (line.startsWith('INFO ')) {
        this.info = JSON.parse(line.slice(5));
        this.#note('<', 'INFO {…}');
      } else {
        this.#note('<', unit.slice(0, -2));
      }
      if (line === 'PONG') this.pongs++;
    }
    this.#wake();
  }

  wait(what, test, deadlineMs = 10000) {
    return new Promise((good, bad) => {
      const look = () => {
        if (!test()) return;
        clearTimeout(timer);
        this.waiters.delete(look);
        good();
      };
      const timer = setTimeout(() => bad(new Error(`${this.name}: ${what}: not within ${deadlineMs} ms\n${this.transcript.join('\n')}`)), deadlineMs);
      this.waiters.add(look);
      look();
    });
  }

  /** Says it and waits until the broker has dealt with it, or has closed. */
  async say(text) {
    const wanted = this.pongs + 1;
    if (text) this.#note('>', text);
    if (!this.closed) this.socket.write(`${text}PING\r\n`, 'latin1');
    await this.wait('the answer', () => this.closed || this.pongs >= wanted);
  }

  /** Says it piece by piece, each on its own segment as far as the kernel goes along. */
  async trickle(text, size = 1) {
    this.#note('>', text);
    for (let i = 0; i < text.length; i += size) await new Promise((good) => this.socket.write(text.slice(i, i + size), 'latin1', good));
    await this.sync();
  }

  sync() {
    return this.say('');
  }

  /** Says it, with nothing after it, and waits for the end. */
  async last(text, deadlineMs) {
    if (text) this.#note('>', text);
    this.socket.write(text, 'latin1');
    await this.wait('the end', () => this.closed, deadlineMs);
  }

  cut() {
    this.socket.destroy();
  }
}

/** JSON as the bytes that `RawClient` writes. */
const bytes = (value) => Buffer.from(JSON.stringify(value), 'utf8').toString('latin1');

/** One run of a scene against one broker. Between clients there is no order, so each has a transcript of its own. */
export class Stage {
  constructor(broker) {
    this.broker = broker;
    this.token = TOKEN;
    this.clients = [];
  }

  async open(name) {
    const c = new RawClient(this.broker.port, name, []);
    this.clients.push(c);
    await c.wait('INFO', () => c.info || c.closed);
    return c;
  }

  /** A client that has said CONNECT; quiet unless the options say otherwise. */
  async client(name, options = {}) {
    const c = await this.open(name);
    const connect = { verbose: false, pedantic: true, headers: true, lang: 'raw', version: '1', protocol: 1, ...CREDENTIALS, ...options };
    for (const [key, value] of Object.entries(connect)) if (value === undefined) delete connect[key];
    await c.say(`CONNECT ${bytes(connect)}\r\n`);
    return c;
  }

  /** Every line as `<client> <direction> <text>`, client by client. */
  lines() {
    return this.clients.flatMap((c) => c.transcript.map((line) => `${c.name} ${line}`));
  }

  cut() {
    for (const c of this.clients) c.cut();
  }
}

/** Lines that only one of two transcripts has. */
export function difference(ours, theirs) {
  const rest = [...theirs];
  const only = ours.filter((line) => {
    const at = rest.indexOf(line);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  return { ours: only, theirs: rest };
}
