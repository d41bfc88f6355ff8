// SPDX-License-Identifier: Apache-2.0
// Visitors of decoys send terminal codes: nothing of them reaches the terminal of who reads the log, by the command line or of the processes themselves.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Api } from './lib/api.mjs';
import { BusPeer } from './lib/bus.mjs';
import { decnet, eventually, Suite } from './lib/suite.mjs';

const run = promisify(execFile);
const CODES = ['\x1b[2J\x1b[31mred', '\x1b]0;title\x07', '\x1b]52;c;cHduZWQ=\x07', '\x9b2J', '\u009b2J', '\u0085next', '\x08\x08\x08', '\rover', '\x7f', '\u202eback', '\u2028line', '%n%s%x', 'a\tb'];
let suite, admin, demo;

before(async () => {
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false' });
  suite.cli('demo');
  admin = await Api.admin(suite);
  demo = await admin.demoTopology();
  await eventually('the demo is active', async () => (await admin.get(`/topologies/${demo.id}`)).body.topology.status === 'active');
});

after(async () => {
  await suite?.stop();
});

function send(where, ...parts) {
  return new Promise((good, bad) => {
    const s = net.connect(where.port, where.address, () => s.end(Buffer.concat(parts.map((p) => Buffer.from(p)))));
    s.on('error', bad);
    s.on('close', good);
    s.resume();
  });
}

/** Bytes that a terminal obeys: C0 but for line feed and tab, DEL, and C1 in UTF-8 or alone. */
function codes(text) {
  const utf8 = Buffer.from(text, 'latin1').toString('utf8');
  return [...utf8.matchAll(/[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2028\u2029]/g)].map((m) => `${JSON.stringify(m[0])} in ${JSON.stringify(utf8.slice(Math.max(0, m.index - 40), m.index + 20))}`);
}

// The command line believes that a person reads along.
const TERMINAL = 'import os,pty,sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
const environment = () => ({ ...suite.env, DECNET_URL: suite.url, DECNET_TOKEN: admin.token, TERM: 'xterm-256color' });
// A terminal's own line ends are CR LF.
const shown = (text) => text.replaceAll('\r\n', '\n');

async function cli(...args) {
  const { stdout } = await run('python3', ['-c', TERMINAL, decnet, '--no-color', ...args], { env: environment(), encoding: 'latin1', maxBuffer: 1 << 26 });
  return shown(stdout);
}

test('what visitors send does not reach a terminal as codes', async () => {
  const watches = [['watch', 'log'], ['watch', 'events'], ['--json', 'watch', 'log'], ['bus', 'sub', 'ext.>'], ['--json', 'bus', 'sub', 'ext.>']].map((what) => {
    const child = spawn('python3', ['-c', TERMINAL, decnet, '--no-color', ...what], { env: environment(), stdio: ['pipe', 'pipe', 'pipe'] });
    const w = { what, text: '', child };
    for (const out of [child.stdout, child.stderr]) out.on('data', (d) => (w.text += d.toString('latin1')));
    return w;
  });
  try {
    const { deckies } = await admin.expect(200, 'GET', `/topologies/${demo.id}`);
    const at = (service) => deckies.flatMap((d) => d.endpoints).find((e) => e.service === service);
    for (const code of CODES) {
      const line = Buffer.from(code.replaceAll('\r', ''), code === '\x9b2J' ? 'latin1' : 'utf8');
      await send(at('http'), 'GET /', Buffer.from(encodeURIComponent(code.replace(/\x9b/, ''))), ' HTTP/1.1\r\nHost: x\r\nUser-Agent: ', line, '\r\nConnection: close\r\n\r\n');
      await send(at('redis'), '*2\r\n$4\r\nAUTH\r\n$', String(line.length), '\r\n', line, '\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$', String(line.length), '\r\n', line, '\r\n');
      await send(at('telnet'), 'root\r\nadmin\r\necho ', line, '\r\nexit\r\n');
    }
    for (const w of watches.slice(3)) {
      await eventually('the bus is heard', () => {
        suite.cli('bus', 'pub', '--raw', 'ext.hello', '"hello"');
        return w.text.includes('hello');
      });
    }
    const guest = new BusPeer({ path: `${suite.dir}/bus.sock` });
    guest.say('CONNECT {"verbose":false}\r\n');
    for (const code of [...CODES, 'the-end-of-them']) guest.say(`PUB ext.say ${Buffer.from(code, 'latin1').length}\r\n`, Buffer.from(code, 'latin1'), '\r\n');
    for (const w of watches.slice(3)) await eventually('the guest is heard', () => w.text.includes('the-end-of-them'));
    guest.cut();
    await send(at('redis'), '*2\r\n$3\r\nGET\r\n$15\r\nthe-end-of-them\r\n');
    await eventually('all is taken in', async () => JSON.stringify((await admin.get('/logs?limit=1000')).body).includes('the-end-of-them'), 30000);
    await eventually('the log is followed to its end', () => watches[0].text.includes('the-end-of-them'), 30000);
    const attacker = (await admin.get('/attackers')).body.data[0];
    const identity = (await admin.get('/identities')).body.data[0];
    for (const args of [['log', '--limit', '1000'], ['--json', 'log', '--limit', '1000'], ['identity', 'list'], ['identity', 'show', identity.uuid], ['identity', 'observations', identity.uuid], ['identity', 'evidence', identity.uuid], ['topology', 'show', demo.id], ['status']]) {
      const text = await cli(...args);
      assert.ok(text.length > 0 || args[1] === 'evidence', args.join(' '));
      assert.deepEqual(codes(text), [], args.join(' '));
    }
    assert.ok(attacker.commands.length > 0);
    for (const w of watches) assert.deepEqual(codes(shown(w.text)), [], w.what.join(' '));
  } finally {
    for (const w of watches) w.child.kill();
  }
});

test('what is not read on a terminal is to the byte what the API says', async () => {
  const { stdout } = await run(decnet, ['--json', 'log', '--limit', '1000'], { env: environment(), maxBuffer: 1 << 26 });
  assert.deepEqual(JSON.parse(stdout).data.length > 10, true);
  assert.ok(stdout.includes('\u202eback'));
});

test('nor does it reach the log of a process', async () => {
  assert.deepEqual(codes(Buffer.from(suite.log, 'utf8').toString('latin1')), []);
});
