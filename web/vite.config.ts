// SPDX-License-Identifier: Apache-2.0
// How the dashboard is built: plain files, nothing inlined, since the server's policy is `default-src 'self'`.
import { readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

/** The licence text of what is bundled goes out with the bundle. */
function licences(): Plugin {
  return {
    name: 'licences',
    apply: 'build',
    generateBundle() {
      const text = readFileSync(new URL('./node_modules/preact/LICENSE', import.meta.url), 'utf8');
      this.emitFile({ type: 'asset', fileName: 'third-party-licences.txt', source: `preact\n\n${text}` });
    },
  };
}

export default defineConfig({
  plugins: [licences()],
  base: '/',
  build: {
    target: 'es2021',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: { '/api': process.env['DECNET_URL'] ?? 'http://127.0.0.1:8000' },
  },
});
