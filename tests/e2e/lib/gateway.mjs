// SPDX-License-Identifier: Apache-2.0
// One more decnet-api on the store of a running suite, on a port of its own and without a supervisor.
import { spawn } from 'node:child_process';
import http from 'node:http';
import { join } from 'node:path';
import { build, eventually, freePort } from './suite.mjs';

export class Gateway {
  /** On `port` it takes the place of one that served there. */
  static async start(suite, env = {}, port = 0) {
    const g = new Gateway();
    g.port = port || (await freePort());
    g.url = `http://127.0.0.1:${g.port}`;
    g.log = '';
    g.process = spawn(join(build, 'src/main/decnet-api'), [], { env: { ...suite.env, ...env, DECNET_API_PORT: String(g.port) }, stdio: ['ignore', 'ignore', 'pipe'] });
    g.process.stderr.on('data', (chunk) => (g.log += chunk));
    g.exited = new Promise((good) => g.process.once('exit', (code, signal) => good({ code, signal })));
    await eventually('the second gateway is ready', async () => (await fetch(`${g.url}/readyz`)).status === 200);
    return g;
  }

  async stop(signal = 'SIGTERM') {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
    const end = await this.exited;
    const report = /^.*(?:AddressSanitizer|LeakSanitizer|runtime error: ).*$/m.exec(this.log);
    if (report) throw new Error(`${report[0]}\n${this.log.slice(report.index, report.index + 4000)}`);
    return end;
  }
}

/** One POST from an address of 127.0.0.0/8: {status, headers, body}. */
export function postFrom(localAddress, url, path, body, token) {
  const headers = { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  return new Promise((good, bad) => {
    const req = http.request(`${url}/api/v1${path}`, { method: 'POST', localAddress, agent: false, headers }, (res) => {
      let text = '';
      res.on('data', (chunk) => (text += chunk));
      res.on('end', () => good({ status: res.statusCode, headers: res.headers, body: JSON.parse(text) }));
    });
    req.on('error', bad);
    req.end(JSON.stringify(body));
  });
}
