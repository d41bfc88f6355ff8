// SPDX-License-Identifier: Apache-2.0
// The servers that events are fanned out by, each behind the same few words: where viewers go, where events go, who is accounted.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Api } from '../../e2e/lib/api.mjs';
import { Suite, freePort } from '../../e2e/lib/suite.mjs';
import { LOAD_CPU, Program, SERVER_CPU, family, listening, program, withFolder } from './programs.mjs';
import { spawnSync } from 'node:child_process';

export const NGINX = '/usr/sbin/nginx';
export const NCHAN = '/usr/lib/nginx/modules/ngx_nchan_module.so';

const nginxConf = (dir, port) => `
load_module ${NCHAN};
daemon off;
master_process off;
user root;
pid ${dir}/pid;
error_log ${dir}/error.log warn;
worker_rlimit_nofile 20000;
events { worker_connections 19000; use epoll; multi_accept on; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  keepalive_requests 100000000;
  keepalive_timeout 3600s;
  tcp_nodelay on;
  nchan_shared_memory_size 512m;
  nchan_message_buffer_length 4096;
  nchan_message_timeout 600s;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /pub { nchan_publisher; nchan_channel_id bench; }
    location = /sub { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }
  }
}
`;

/** Moves a process and all its threads and children to the processor of servers. */
function pin(pid) {
  for (const one of family(pid)) spawnSync('taskset', ['-a', '-c', '-p', String(SERVER_CPU), String(one)]);
}

/** Either as messages that only live viewers get, or as rows of the journal, which nobody misses. */
async function decnet(journal, work) {
  const suite = await Suite.start({ DECNET_LOG_LEVEL: 'warning', DECNET_SSE_MAX_PER_USER: '0', DECNET_API_WORKERS: '1' });
  try {
    pin(suite.process.pid);
    const api = await Api.admin(suite);
    return await work({
      to: `127.0.0.1:${suite.port}`,
      path: '/api/v1/identities/events',
      header: `Authorization: Bearer ${api.token}`,
      pids: family(suite.process.pid),
      publisher: program(journal ? 'journal' : 'publish'),
      publish: ['--to', `unix:${suite.env.DECNET_BUS_SOCKET}`, '--topic', 'identity.ext.bench', ...(journal ? ['--db', `sqlite:${suite.dir}/decnet.db`] : [])],
      // The envelope of the stream's frames is part of what viewers get; with it a frame has about 200 bytes of data.
      size: 110,
    });
  } finally {
    await suite.stop();
  }
}

async function nchan(work) {
  return withFolder(async (dir) => {
    const port = await freePort();
    writeFileSync(join(dir, 'nginx.conf'), nginxConf(dir, port));
    const server = new Program(SERVER_CPU, NGINX, ['-p', dir, '-c', join(dir, 'nginx.conf')]);
    try {
      await listening({ host: '127.0.0.1', port });
      return await work({ to: `127.0.0.1:${port}`, path: '/sub', pids: [server.pid], publish: ['--to', `127.0.0.1:${port}`, '--path', '/pub'], size: 200 });
    } finally {
      await server.stop();
    }
  });
}

async function floor(work) {
  const port = await freePort();
  const server = new Program(SERVER_CPU, program('sse_floor'), [port]);
  try {
    await listening({ host: '127.0.0.1', port });
    return await work({ to: `127.0.0.1:${port}`, path: '/', pids: [server.pid], publish: ['--to', `127.0.0.1:${port}`, '--path', '/'], size: 200 });
  } finally {
    await server.stop();
  }
}

export const servers = { decnet: (work) => decnet(false, work), journal: (work) => decnet(true, work), nchan, floor };

/** Opens the viewers; gives the loader and what it said when all were there. */
export async function watch(server, viewers, slow = 0) {
  const args = ['--to', server.to, '--path', server.path, '--viewers', viewers, '--slow', slow, '--settle', 2000, '--drain', 120];
  if (server.header) args.push('--header', server.header);
  for (const pid of server.pids) args.push('--pid', pid);
  const loader = new Program(LOAD_CPU, program('sse_load'), args);
  return { loader, ready: await loader.line() };
}

/** Publishes for so many seconds from event `first` on; the number of the last one. */
export async function publish(server, rate, seconds, first) {
  const p = new Program(LOAD_CPU, server.publisher ?? program('publish'), [...server.publish, '--rate', rate, '--seconds', seconds, '--first', first, '--size', server.size]);
  return (await p.line()).last;
}
