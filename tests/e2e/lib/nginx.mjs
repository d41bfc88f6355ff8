// SPDX-License-Identifier: Apache-2.0
// A real nginx in front of a server, with a configuration and an access log of its own.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, freePort } from './suite.mjs';

export class Nginx {
  /** Listens on a free port and passes everything on to `upstream` (a port). */
  static async start(upstream) {
    const n = new Nginx();
    n.dir = mkdtempSync(join(tmpdir(), 'decnet-nginx-'));
    n.port = await freePort();
    const path = (name) => join(n.dir, name);
    writeFileSync(
      path('nginx.conf'),
      `worker_processes 1;
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
pid ${path('pid')};
error_log ${path('error.log')} info;
events { worker_connections 256; }
http {
  log_format told escape=json '{"request":"$request","status":$status,"passed":"$upstream_status"}';
  access_log ${path('access.log')} told;
  client_body_temp_path ${path('body')};
  proxy_temp_path ${path('proxy')};
  fastcgi_temp_path ${path('fastcgi')};
  uwsgi_temp_path ${path('uwsgi')};
  scgi_temp_path ${path('scgi')};
  upstream behind { server 127.0.0.1:${upstream}; keepalive 4; }
  server {
    listen 127.0.0.1:${n.port};
    location / {
      proxy_pass http://behind;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream off;
      proxy_ignore_client_abort on;
    }
  }
}
`,
    );
    n.process = spawn('nginx', ['-e', path('error.log'), '-p', n.dir, '-c', path('nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
    n.process.stderr.on('data', (chunk) => (n.said = `${n.said ?? ''}${chunk}`));
    n.exited = new Promise((good) => n.process.once('exit', good));
    n.process.once('error', (e) => (n.said = e.message));
    try {
      await eventually('nginx answers', async () => (await fetch(`http://127.0.0.1:${n.port}/healthz`)).status === 200);
    } catch (e) {
      await n.stop();
      throw new Error(`${e.message}: ${n.said}`);
    }
    return n;
  }

  /** One row for each request that nginx has seen: {request, status, passed}; `passed` is the upstream's status or "". */
  log() {
    return readFileSync(join(this.dir, 'access.log'), 'utf8').split('\n').filter(Boolean).map((l) => JSON.parse(l));
  }

  async stop() {
    if (this.process.pid && this.process.exitCode === null) {
      this.process.kill('SIGTERM');
      await this.exited;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
