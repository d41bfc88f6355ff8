// SPDX-License-Identifier: Apache-2.0
// The numbers of the metrics page.
export class Metrics {
  constructor(listen) {
    this.url = `http://${listen}/metrics`;
  }

  /** name{labels} as it stands on the page → number. */
  async all() {
    const text = await (await fetch(this.url)).text();
    return new Map(text.split('\n').filter((l) => l && !l.startsWith('#')).map((l) => [l.slice(0, l.lastIndexOf(' ')), Number(l.slice(l.lastIndexOf(' ') + 1))]));
  }

  async get(name) {
    return (await this.all()).get(name);
  }

  /** The sum of all rows of a name whose labels hold these. */
  async sum(name, labels = {}) {
    let sum = 0;
    for (const [key, value] of await this.all())
      if (key.split('{')[0] === name && Object.entries(labels).every(([k, v]) => key.includes(`${k}="${v}"`))) sum += value;
    return sum;
  }

  limit(name) {
    return this.get(`decnet_limit_hits_total{limit="${name}"}`);
  }
}
