// SPDX-License-Identifier: Apache-2.0
// What real networks cost: deckies through decnet-netd beside bare netlink in the same run, and changes with all of them present. As root.
//   DECNET_BUILD=build-gcc node tests/bench/netns.mjs             DECKIES=100,1000,3000
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { build } from '../e2e/lib/suite.mjs';
import { program, require } from './lib/programs.mjs';
import { Report, ms, ratio, thousands } from './lib/report.mjs';

const NETD = join(build, 'src/main/decnet-netd');
if (process.getuid() !== 0) {
  console.log('not root: left out');
  process.exit(0);
}
require(NETD, program('netns_load'));
const report = new Report('netns', 'Deckies with three services on real networks, through decnet-netd alone');
const two = (h) => `${ms(h.p50)} / ${ms(h.p99)}`;
const rows = [];
for (const n of (process.env.DECKIES ?? '100,1000,3000').split(',')) {
  const r = JSON.parse(execFileSync(program('netns_load'), [NETD, n], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
  const target = (good) => Report.check(good);
  report.data[n] = r;
  const row = (what, value, floor = '', wanted = '', good = null) => rows.push([`${r.deckies} on ${r.lans}: ${what}`, value, floor, wanted, good === null ? '' : target(good)]);
  row('made, ms each', r.create_ms.toFixed(2), `${r.floor.create_ms.toFixed(2)} (${ratio(r.create_ms, r.floor.create_ms)})`, '≥ 700/s: ≤ 1.43', r.create_ms <= 1.43);
  row('of it processor time of decnet-netd', r.cpu_ms.toFixed(2), `${r.floor.cpu_ms.toFixed(2)} (${ratio(r.cpu_ms, r.floor.cpu_ms)})`);
  row('kernel memory each: slab and per-CPU, KiB', (r.kib.slab + r.kib.percpu).toFixed(0), '', '≤ 360', r.kib.slab + r.kib.percpu <= 360);
  row('the same as less available, KiB', r.kib.available.toFixed(0));
  row('memory of decnet-netd each, KiB', r.kib.netd.toFixed(2), '', '≤ 2', r.kib.netd <= 2);
  row('a decky more, until answered, ms p50 / p99', two(r.answer));
  row('until the first connection', two(r.add), '', 'p99 ≤ 12 from the stock', r.add.p99 <= 12000);
  row('a service more, until the first connection', two(r.service), '', 'p99 ≤ 5', r.service.p99 <= 5000);
  row('a decky less, until it is off the wire', two(r.remove));
  row('all that there is, told as for a pass of the reconcile, ms p50 / p99', two(r.list));
  row('killed and started again, until it has told all, ms', r.restart_ms.toFixed(0), '', '≤ 2000', r.restart_ms <= 2000);
  row('accepted connections/s by one process for all', thousands(r.accept_per_s), `${r.wrong} of ${r.accepted} wrong`, '≥ 15 k', r.accept_per_s >= 15000 && r.wrong === 0);
  row('all removed, s', r.teardown_s.toFixed(2), r.floor.teardown_s.toFixed(2));
}
report.table('The floor is namespaces, pairs, addresses and sockets by netlink and nothing else', ['deckies on LANs', '', 'floor', 'target', ''], rows);
report.write();
