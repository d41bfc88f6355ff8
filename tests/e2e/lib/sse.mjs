// SPDX-License-Identifier: Apache-2.0
// A viewer over node:http that keeps every frame as it came and can be cut at any moment.
import http from 'node:http';

export class Viewer {
  constructor(url, path, { token, query = {}, lastEventId } = {}) {
    this.frames = [];
    this.comments = 0;
    this.ended = false;
    this.waiters = new Set();
    this.buffer = '';
    const target = new URL(`${url}/api/v1${path}`);
    for (const [k, v] of Object.entries(query)) target.searchParams.set(k, v);
    this.opened = new Promise((good, bad) => {
      this.request = http.get(
        target,
        {
          agent: false,
          headers: {
            ...(token ? { Authorization: `Bearer ${token}` } : {}),
            ...(lastEventId ? { 'Last-Event-ID': String(lastEventId) } : {}),
          },
        },
        (res) => {
          this.status = res.statusCode;
          this.headers = res.headers;
          res.setEncoding('utf8');
          res.on('data', (chunk) => this.#feed(chunk));
          for (const how of ['end', 'aborted', 'error', 'close']) res.on(how, () => this.#end());
          good(res.statusCode);
        },
      );
      this.request.on('error', (e) => {
        this.#end();
        bad(e);
      });
    });
    this.opened.catch(() => {});
  }

  #feed(chunk) {
    this.buffer += chunk;
    for (;;) {
      const end = this.buffer.indexOf('\n\n');
      if (end < 0) break;
      const lines = this.buffer.slice(0, end).split('\n');
      this.buffer = this.buffer.slice(end + 2);
      const frame = { at: performance.now() };
      for (const line of lines) {
        if (line.startsWith(':')) this.comments++;
        else if (line.startsWith('event: ')) frame.event = line.slice(7);
        else if (line.startsWith('id: ')) frame.id = Number(line.slice(4));
        else if (line.startsWith('data: ')) frame.data = JSON.parse(line.slice(6));
      }
      if (frame.event) this.frames.push(frame);
    }
    for (const w of [...this.waiters]) w();
  }

  #end() {
    this.ended = true;
    for (const w of [...this.waiters]) w();
  }

  /** The first frame from index `from` on that satisfies `test`; fails at the deadline or when the stream ends. */
  wait(what, test, { from = 0, deadlineMs = 15000 } = {}) {
    return new Promise((good, bad) => {
      const done = (f, v) => {
        clearTimeout(timer);
        this.waiters.delete(look);
        f(v);
      };
      const look = () => {
        const found = this.frames.slice(from).find(test);
        if (found) done(good, found);
        else if (this.ended) done(bad, new Error(`${what}: the stream ended; frames: ${this.summary()}`));
      };
      const timer = setTimeout(() => done(bad, new Error(`${what}: not within ${deadlineMs} ms; frames: ${this.summary()}`)), deadlineMs);
      this.waiters.add(look);
      look();
    });
  }

  event(name, options) {
    return this.wait(name, (f) => f.event === name, options);
  }

  /** Resolves when the server or the network has ended it. */
  end(deadlineMs = 15000) {
    return new Promise((good, bad) => {
      const timer = setTimeout(() => bad(new Error('the stream did not end')), deadlineMs);
      const look = () => {
        if (!this.ended) return;
        clearTimeout(timer);
        this.waiters.delete(look);
        good();
      };
      this.waiters.add(look);
      look();
    });
  }

  /** Frames of journal rows: they have an id and are neither snapshot nor resumed. */
  rows() {
    return this.frames.filter((f) => f.id !== undefined && f.event !== 'snapshot' && f.event !== 'resumed');
  }

  lastId() {
    const ids = this.frames.filter((f) => f.id !== undefined).map((f) => f.id);
    return ids.length ? Math.max(...ids) : 0;
  }

  summary() {
    return this.frames.slice(-20).map((f) => `${f.event}#${f.id ?? '-'}`).join(' ');
  }

  cut() {
    this.request.destroy();
    this.#end();
  }
}
