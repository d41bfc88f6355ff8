// SPDX-License-Identifier: Apache-2.0
// A viewer over node:http or node:https that keeps every frame as it came and can be cut at any moment.
import http from 'node:http';
import https from 'node:https';
import { FrameParser } from './frames.mjs';

export class Viewer {
  constructor(url, path, { token, query = {}, lastEventId, cutAt = Infinity } = {}) {
    this.parser = new FrameParser();
    this.bytes = 0;
    this.cutAt = cutAt;
    this.broken = null;
    this.ended = false;
    this.waiters = new Set();
    const target = new URL(`${url}/api/v1${path}`);
    for (const [k, v] of Object.entries(query)) target.searchParams.set(k, v);
    this.opened = new Promise((good, bad) => {
      this.request = (target.protocol === 'https:' ? https : http).get(
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
          this.response = res;
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

  get frames() {
    return this.parser.frames;
  }

  get comments() {
    return this.parser.comments.length;
  }

  /** An answer that is no stream is only counted; ask for its body with the REST client. */
  #feed(chunk) {
    if (this.ended) return;
    const taken = chunk.subarray(0, Math.min(chunk.length, this.cutAt - this.bytes));
    const at = performance.now();

    this.bytes += taken.length;
    if (this.status === 200) {
      try {
        for (const frame of this.parser.push(taken)) frame.at = at;
      } catch (e) {
        this.broken = e;
        this.cut();
        return;
      }
    }
    for (const w of [...this.waiters]) w();
    if (this.bytes >= this.cutAt) this.cut();
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
        else if (this.ended) done(bad, new Error(`${what}: the stream ended${this.broken ? ` (${this.broken.message})` : ''}; frames: ${this.summary()}`));
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

  /** Stop reading: buffers fill up, and the server sees a slow reader. */
  pause() {
    this.response.pause();
  }

  resume() {
    this.response.resume();
  }

  cut() {
    this.request.destroy();
    this.#end();
  }
}
