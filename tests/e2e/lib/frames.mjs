// SPDX-License-Identifier: Apache-2.0
// Bytes of an event stream to frames. It takes exactly what the contract promises (LF only, one data line a frame) and
// throws on anything else, unlike a browser.

/**
 * Splits the bytes of an event stream into frames. Feed it in any portions; the result is the same.
 * A frame is {event, id (undefined for none), data (parsed)}. Comments and `retry:` are kept apart.
 */
export class FrameParser {
  frames = [];
  comments = [];
  retry = null;
  #rest = Buffer.alloc(0);

  push(bytes) {
    const from = this.frames.length;

    this.#rest = this.#rest.length ? Buffer.concat([this.#rest, bytes]) : bytes;
    for (;;) {
      const end = this.#rest.indexOf('\n\n');
      if (end < 0) break;
      this.#block(this.#rest.subarray(0, end).toString('utf8'));
      this.#rest = this.#rest.subarray(end + 2);
    }
    return this.frames.slice(from);
  }

  /** Bytes of a frame that has not ended. */
  get pending() {
    return this.#rest.length;
  }

  #block(raw) {
    const frame = {};
    const order = [];

    if (raw.includes('\r')) throw new Error(`carriage return in a frame: ${JSON.stringify(raw)}`);
    for (const line of raw.split('\n')) {
      const colon = line.indexOf(':');
      const key = line.slice(0, colon);
      const value = line.slice(colon + 1).replace(/^ /, '');
      if (colon < 0) throw new Error(`line without a colon: ${JSON.stringify(line)}`);
      if (key === '') this.comments.push(value);
      else if (key === 'retry') this.retry = Number(value);
      else {
        if (order.includes(key)) throw new Error(`two ${key} lines in one frame: ${JSON.stringify(raw)}`);
        order.push(key);
        if (key === 'event') frame.event = value;
        else if (key === 'id') frame.id = Number(value);
        else if (key === 'data') frame.data = JSON.parse(value);
        else throw new Error(`unknown field ${JSON.stringify(key)}`);
      }
    }
    if (order.length === 0) return;
    const wanted = frame.id === undefined ? 'event,data' : 'event,id,data';
    if (order.join() !== wanted) throw new Error(`fields in the order ${order.join()}, not ${wanted}`);
    this.frames.push(frame);
  }
}
