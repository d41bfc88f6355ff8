// SPDX-License-Identifier: Apache-2.0
// The network between a client and a server, with a switch: `cut()` drops every connection and takes no new one until `heal()`.
import { connect, createServer } from 'node:net';

export class Proxy {
  static async start(port) {
    const p = new Proxy();
    p.sockets = new Set();
    p.server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      for (const [a, b] of [
        [near, far],
        [far, near],
      ]) {
        p.sockets.add(a);
        a.on('error', () => b.destroy());
        a.on('close', () => {
          p.sockets.delete(a);
          b.destroy();
        });
        a.pipe(b);
      }
    });
    await p.#listen(0);
    p.port = p.server.address().port;
    p.url = `http://127.0.0.1:${p.port}`;
    return p;
  }

  #listen(port) {
    return new Promise((good, bad) => {
      this.server.once('error', bad);
      this.server.listen(port, '127.0.0.1', good);
    });
  }

  async cut() {
    const closed = new Promise((good) => this.server.close(good));
    for (const s of this.sockets) s.resetAndDestroy();
    await closed;
  }

  heal() {
    return this.#listen(this.port);
  }

  async stop() {
    if (this.server.listening) await this.cut();
  }
}
