// SPDX-License-Identifier: Apache-2.0
// A viewer that comes back: whenever its stream ends it reconnects with the last id it has seen, and keeps every frame of every life.
import { setTimeout as pause } from 'node:timers/promises';
import { Viewer } from './sse.mjs';

export class Follower {
  constructor(api, path) {
    this.api = api;
    this.path = path;
    this.rows = [];
    this.snapshots = [];
    this.lives = 0;
    this.stopped = false;
    this.last = 0;
  }

  #take() {
    const frames = this.viewer.frames.slice(this.taken);
    this.taken += frames.length;
    for (const f of frames) {
      if (f.event === 'snapshot') this.snapshots.push(f);
      else if (f.id !== undefined && f.event !== 'resumed') this.rows.push(f);
      if (f.id !== undefined) this.last = f.id;
    }
  }

  /** Follows until stop(); resolves after the last life. */
  async run() {
    while (!this.stopped) {
      this.viewer = new Viewer(this.api.url, this.path, { token: this.api.token, lastEventId: this.last || undefined });
      this.taken = 0;
      try {
        const status = await this.viewer.opened;
        if (status === 200) {
          this.lives++;
          await this.viewer.end(24 * 3600 * 1000);
        }
      } catch {
        // Refused while the gateway is away.
      }
      this.#take();
      if (!this.stopped) await pause(50);
    }
  }

  lastId() {
    return Math.max(this.last, this.viewer?.lastId() ?? 0);
  }

  cut() {
    this.viewer?.cut();
  }

  stop() {
    this.stopped = true;
    this.viewer?.cut();
  }
}
