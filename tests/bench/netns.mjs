// SPDX-License-Identifier: Apache-2.0
// What real networks cost: deckies through decnet-netd, and changes with all of them present. As root.
//   DECNET_BUILD=build-gcc node tests/bench/netns.mjs             DECKIES=100,1000,3000
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { build } from '../e2e/lib/suite.mjs';
import { program, require } from './lib/programs.mjs';

const NETD = join(build, 'src/main/decnet-netd');
if (process.getuid() !== 0) {
  console.log('not root: left out');
  process.exit(0);
}
require(NETD, program('netns_load'));
const ms = (h) => `${(h.p50 / 1000).toFixed(2)} / ${(h.p99 / 1000).toFixed(2)}`;
console.log('| deckies | create, ms each | of it processor time | kernel memory, KiB each | add, ms p50 / p99 | add a service | remove, off the wire | teardown of all, s |');
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const n of (process.env.DECKIES ?? '100,1000,3000').split(',')) {
  const r = JSON.parse(execFileSync(program('netns_load'), [NETD, n], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
  console.log(`| ${r.deckies} | ${r.create_ms.toFixed(2)} | ${r.cpu_ms.toFixed(2)} | ${r.kib.toFixed(0)} | ${ms(r.add)} | ${ms(r.service)} | ${ms(r.remove)} | ${r.teardown_s.toFixed(2)} |`);
}
