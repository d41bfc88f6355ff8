// SPDX-License-Identifier: Apache-2.0
// Bundles test/*.test.ts into a temporary folder and runs it with node:test. Arguments go to node.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'decnet-web-test-'));
let status = 1;
try {
  const tests = readdirSync(join(root, 'test')).filter((name) => name.endsWith('.test.ts')).sort();
  await build({
    entryPoints: tests.map((name) => join(root, 'test', name)),
    outdir: out,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node18',
    sourcemap: 'inline',
    logLevel: 'warning',
  });
  const files = tests.map((name) => join(out, name.replace(/\.ts$/, '.mjs')));
  const asked = process.argv.slice(2);
  const reporter = asked.some((a) => a.startsWith('--test-reporter')) ? [] : ['--test-reporter=tap'];
  const args = ['--enable-source-maps', '--test', ...reporter, ...asked, ...files];
  status = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
process.exitCode = status;
