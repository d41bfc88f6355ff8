// SPDX-License-Identifier: Apache-2.0
// Bytes to a port and the answers that come back, without a client that would mend or refuse them.
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** Text, Buffer or a list of both as one Buffer; text is one byte a character. */
export function bytes(...parts) {
  return Buffer.concat(parts.flat(Infinity).map((p) => (Buffer.isBuffer(p) ? p : Buffer.from(String(p), 'latin1'))));
}

function lengthOf(head, rest, method) {
  const field = (name) => head.find(([n]) => n === name)?.[1];
  if (head.status < 200 || head.status === 204 || head.status === 304 || method === 'HEAD') return { used: 0, body: '' };
  if (field('transfer-encoding')?.toLowerCase() === 'chunked') {
    let at = 0;
    let body = '';
    for (;;) {
      const end = rest.indexOf('\r\n', at);
      if (end < 0) return null;
      const size = parseInt(rest.slice(at, end), 16);
      if (rest.length < end + 2 + size + 2) return null;
      body += rest.slice(end + 2, end + 2 + size);
      at = end + 2 + size + 2;
      if (size === 0) return { used: at, body };
    }
  }
  const n = field('content-length');
  if (n === undefined) return { used: rest.length, body: rest };
  return rest.length < Number(n) ? null : { used: Number(n), body: rest.slice(0, Number(n)) };
}

/** The complete answers in the text, in order: {status, headers: Map, body, json}. `methods` tells which were HEAD. */
export function parseAnswers(text, methods = []) {
  const answers = [];
  for (;;) {
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) break;
    const [line, ...lines] = text.slice(0, end).split('\r\n');
    const m = /^HTTP\/1\.[01] (\d{3}) /.exec(`${line} `);
    if (!m) throw new Error(`no status line: ${line.slice(0, 80)}`);
    const head = lines.map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]);
    head.status = Number(m[1]);
    const body = lengthOf(head, text.slice(end + 4), methods[answers.length]);
    if (!body) break;
    const answer = { status: head.status, headers: new Map(head), fields: head, body: body.body };
    try {
      answer.json = JSON.parse(body.body);
    } catch {
      answer.json = undefined;
    }
    answers.push(answer);
    text = text.slice(end + 4 + body.used);
  }
  answers.rest = text;
  return answers;
}

export class Raw {
  constructor(port, { host = '127.0.0.1', from } = {}) {
    this.text = '';
    this.closed = false;
    this.waiters = new Set();
    this.socket = net.connect({ port, host, localAddress: from, allowHalfOpen: true, noDelay: true });
    this.socket.on('data', (chunk) => {
      this.text += chunk.toString('latin1');
      this.#wake();
    });
    for (const how of ['end', 'close', 'error']) {
      this.socket.on(how, (e) => {
        if (how === 'error') this.failure = e;
        this.closed = true;
        this.#wake();
      });
    }
    this.opened = new Promise((good, bad) => {
      this.socket.once('connect', good);
      this.socket.once('error', bad);
    });
    this.opened.catch(() => {});
  }

  #wake() {
    for (const w of [...this.waiters]) w();
  }

  send(...parts) {
    this.socket.write(bytes(parts));
    return this;
  }

  /** Each byte in a segment of its own. */
  async trickle(...parts) {
    for (const b of bytes(parts)) {
      this.socket.write(Buffer.of(b));
      await pause(0);
    }
    return this;
  }

  /** Nothing more will be sent; the answers are still read. */
  half() {
    this.socket.end();
    return this;
  }

  until(what, test, deadlineMs = 20000) {
    return new Promise((good, bad) => {
      const timer = setTimeout(() => done(bad, new Error(`${what}: not within ${deadlineMs} ms; got ${JSON.stringify(this.text.slice(-300))}`)), deadlineMs);
      const done = (f, v) => {
        clearTimeout(timer);
        this.waiters.delete(look);
        f(v);
      };
      const look = () => {
        const v = test();
        if (v) done(good, v);
        else if (this.closed) done(bad, new Error(`${what}: closed; got ${JSON.stringify(this.text.slice(-300))}`));
      };
      this.waiters.add(look);
      look();
    });
  }

  /** Resolves when the server has closed. */
  async end(deadlineMs = 20000) {
    await this.until('the end', () => this.closed, deadlineMs).catch((e) => {
      if (!this.closed) throw e;
    });
    this.socket.destroy();
    return this;
  }

  /** The first n answers, 1xx among them. */
  answers(n = 1, methods = [], deadlineMs = 20000) {
    return this.until(`${n} answers`, () => {
      const got = parseAnswers(this.text, methods);
      return got.length >= n && got;
    }, deadlineMs);
  }

  cut() {
    this.socket.destroy();
  }
}

/** Send all, say that this is all, and give every answer that came before the server closed. */
export async function exchange(port, parts, { methods, from, deadlineMs = 20000 } = {}) {
  const r = new Raw(port, { from });
  r.send(parts).half();
  await r.end(deadlineMs);
  return parseAnswers(r.text, methods);
}
