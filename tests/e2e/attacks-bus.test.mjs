// SPDX-License-Identifier: Apache-2.0
// Guests, forgers and floods on the real broker: every refusal of its protocol, who may say what, and its ceilings.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Broker, TOKEN } from './lib/bus.mjs';
import { rssMiB, sanitized } from './lib/proc.mjs';
import { eventually } from './lib/suite.mjs';

const MIB = 1048576;
let bus;

before(async () => {
  bus = await Broker.start();
});

after(async () => {
  await bus?.stop();
});

const CONNECT = 'CONNECT {"verbose":false}\r\n';

test('INFO is the first line and tells what there is', async () => {
  for (const tcp of [false, true]) {
    const p = bus.raw(tcp);
    await p.said('\r\n');
    const info = JSON.parse(/^INFO (\{.*\})\r\n$/.exec(p.text)[1]);
    assert.equal(info.server_name, 'decnet-bus');
    assert.equal(info.proto, 1);
    assert.equal(info.headers, true);
    assert.equal(info.max_payload, MIB);
    assert.equal(Boolean(info.auth_required), tcp);
    assert.equal(typeof info.client_id, 'number');
    assert.ok(!JSON.stringify(info).includes(TOKEN));
    p.cut();
  }
});

test('every -ERR that ends the connection', async () => {
  for (const [what, text, error] of [
    ['an unknown verb', `${CONNECT}FOO\r\n`, 'Unknown Protocol Operation'],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'Unknown Protocol Operation'],
    ['what only the broker says: MSG', `${CONNECT}MSG a 1 0\r\n\r\n`, 'Unknown Protocol Operation'],
    ['what only the broker says: INFO', `${CONNECT}INFO {}\r\n`, 'Unknown Protocol Operation'],
    ['what only the broker says: -ERR', `${CONNECT}-ERR 'x'\r\n`, 'Unknown Protocol Operation'],
    ['CONNECT without JSON', 'CONNECT\r\n', 'Parser Error'],
    ['CONNECT with half an object', 'CONNECT {"verbose":\r\n', 'Parser Error'],
    ['CONNECT with a list', 'CONNECT []\r\n', 'Parser Error'],
    ['CONNECT with a text', 'CONNECT "x"\r\n', 'Parser Error'],
    ['CONNECT with a key twice', 'CONNECT {"name":"a","name":"decnet-cli"}\r\n', 'Parser Error'],
    ['CONNECT with bytes that are not UTF-8', 'CONNECT {"name":"\xff"}\r\n', 'Parser Error'],
    ['CONNECT nested 40 deep', `CONNECT {"a":${'['.repeat(40)}${']'.repeat(40)}}\r\n`, 'Parser Error'],
    ['CONNECT with something behind it', 'CONNECT {} x\r\n', 'Parser Error'],
    ['CONNECT of 5000 bytes', `CONNECT {"name":"${'x'.repeat(5000)}"}\r\n`, 'Maximum Control Line Exceeded'],
    ['CONNECT without end', `CONNECT {"name":"${'x'.repeat(100000)}`, 'Maximum Control Line Exceeded'],
    ['a line of 4097 bytes', `${CONNECT}SUB ${'a'.repeat(4091)} 1\r\n`, 'Maximum Control Line Exceeded'],
    ['a line without end', `${CONNECT}${'a'.repeat(5000)}`, 'Maximum Control Line Exceeded'],
    ['PUB without a size', `${CONNECT}PUB ext.a\r\n`, 'Parser Error'],
    ['PUB with four words', `${CONNECT}PUB ext.a b c 1\r\nx\r\n`, 'Parser Error'],
    ['PUB of -1', `${CONNECT}PUB ext.a -1\r\n\r\n`, 'Parser Error'],
    ['PUB of +1', `${CONNECT}PUB ext.a +1\r\nx\r\n`, 'Parser Error'],
    ['PUB of 0x1', `${CONNECT}PUB ext.a 0x1\r\nx\r\n`, 'Parser Error'],
    ['PUB of x', `${CONNECT}PUB ext.a x\r\n\r\n`, 'Parser Error'],
    ['PUB without CRLF behind the payload', `${CONNECT}PUB ext.a 1\r\nxy\r\n`, 'Parser Error'],
    ['PUB of 1 MiB and 1', `${CONNECT}PUB ext.a ${MIB + 1}\r\n`, 'Maximum Payload Violation'],
    ['PUB of 2^64', `${CONNECT}PUB ext.a 18446744073709551616\r\n`, 'Maximum Payload Violation'],
    ['PUB of 30 digits', `${CONNECT}PUB ext.a ${'9'.repeat(30)}\r\n`, 'Maximum Payload Violation'],
    ['HPUB over the ceiling with its headers', `${CONNECT}HPUB ext.a 12 ${MIB + 1}\r\n`, 'Maximum Payload Violation'],
    ['HPUB whose headers are longer than all', `${CONNECT}HPUB ext.a 20 12\r\nNATS/1.0\r\n\r\n\r\n`, 'Parser Error'],
    ['HPUB without a second size', `${CONNECT}HPUB ext.a 12\r\nNATS/1.0\r\n\r\n\r\n`, 'Parser Error'],
    ['SUB without an id', `${CONNECT}SUB ext.a\r\n`, 'Parser Error'],
    ['SUB with four words', `${CONNECT}SUB ext.a q 1 2\r\n`, 'Parser Error'],
    ['SUB with a control character in its id', `${CONNECT}SUB ext.a 1\x01\r\n`, 'Parser Error'],
    ['UNSUB without an id', `${CONNECT}UNSUB\r\n`, 'Parser Error'],
    ['UNSUB with a number that is none', `${CONNECT}UNSUB 1 x\r\n`, 'Parser Error'],
  ]) {
    const p = bus.raw();
    p.say(text, 'PING\r\n');
    await p.end().catch((e) => assert.fail(`${what}: ${e.message}`));
    const heard = p.text.slice(p.text.indexOf('\r\n') + 2);
    assert.equal(heard, `-ERR '${error}'\r\n`, `${what}: ${JSON.stringify(heard)}`);
  }
});

test('every -ERR after which the connection goes on, and the line has no effect', async () => {
  const ear = await bus.peer({ name: 'ear' });
  ear.say('SUB > 1\r\n');
  const long = `ext.${'a'.repeat(251)}`;
  const p = await bus.peer({ name: 'guest' });
  const deep = (n) => Array.from({ length: n }, () => 'a').join('.');
  for (const [text, error] of [
    ['SUB a..b 1\r\n', 'Invalid Subject'], ['SUB .a 1\r\n', 'Invalid Subject'], ['SUB a. 1\r\n', 'Invalid Subject'], ['SUB a.>.b 1\r\n', 'Invalid Subject'],
    [`SUB ${deep(17)} 1\r\n`, 'Invalid Subject'], [`SUB ${long}b 1\r\n`, 'Invalid Subject'], ['SUB a\x01b 1\r\n', 'Invalid Subject'], ['SUB a\0b 1\r\n', 'Invalid Subject'], ['SUB a\x7fb 1\r\n', 'Invalid Subject'],
    [`SUB ${deep(16)} 1\r\nUNSUB 1\r\n`, null], [`SUB ${long} 1\r\nUNSUB 1\r\n`, null], ['SUB a* 1\r\nUNSUB 1\r\n', null], ['SUB a.b> 1\r\nUNSUB 1\r\n', null],
    ['PUB ext.* 1\r\nx\r\n', 'Invalid Publish Subject'], ['PUB ext.> 1\r\nx\r\n', 'Invalid Publish Subject'], ['PUB ext..a 1\r\nx\r\n', 'Invalid Publish Subject'], ['PUB .ext 1\r\nx\r\n', 'Invalid Publish Subject'],
    [`PUB ext.${deep(16)} 1\r\nx\r\n`, 'Invalid Publish Subject'], [`PUB ${long}b 1\r\nx\r\n`, 'Invalid Publish Subject'], ['PUB ext.a\x01 1\r\nx\r\n', 'Invalid Publish Subject'], ['PUB ext.a reply.* 1\r\nx\r\n', 'Invalid Publish Subject'],
    ['PUB identity.formed 1\r\nx\r\n', 'Permissions Violation for Publish to "identity.formed"'],
    ['HPUB identity.formed 12 13\r\nNATS/1.0\r\n\r\nx\r\n', 'Permissions Violation for Publish to "identity.formed"'],
    ['PUB ext 1\r\nx\r\n', 'Permissions Violation for Publish to "ext"'],
    ['PUB a\'b" 1\r\nx\r\n', 'Permissions Violation for Publish to "a\'b""'],
  ]) {
    const mark = p.text.length;
    p.say(text);
    assert.equal(await p.since(mark), error ? `-ERR '${error}'\r\n` : '', JSON.stringify(text));
  }
  p.say('PUB ext.last 4\r\ndone\r\n');
  await ear.said('done\r\n');
  assert.equal(ear.text.slice(ear.text.indexOf('PONG\r\n') + 6), 'MSG ext.last 1 4\r\ndone\r\n', 'nothing of the refused was heard');
  for (const one of [ear, p]) one.cut();
});

test('subscriptions: 1024 of one client, and one more when another has gone', async () => {
  const p = await bus.peer();
  p.say(Array.from({ length: 1024 }, (_, i) => `SUB ext.flood.${i} ${i}\r\n`));
  assert.equal(await p.since(p.text.length), '');
  let mark = p.text.length;
  p.say(Array.from({ length: 5000 }, (_, i) => `SUB ext.more.${i} more${i}\r\n`));
  assert.equal(await p.since(mark), "-ERR 'Maximum Subscriptions Exceeded'\r\n".repeat(5000));
  mark = p.text.length;
  p.say('UNSUB 7\r\nSUB ext.one.more 9999\r\nPUB ext.one.more 1\r\nx\r\nPUB ext.flood.7 1\r\ny\r\nPUB ext.flood.8 1\r\nz\r\n');
  assert.equal(await p.since(mark), 'MSG ext.one.more 9999 1\r\nx\r\nMSG ext.flood.8 8 1\r\nz\r\n');
  p.cut();
});

test('a flood of subscriptions by many clients holds nobody up, and is gone with them', async () => {
  const before = rssMiB(bus.pid);
  const flood = await Promise.all(Array.from({ length: 100 }, () => bus.peer()));
  for (const p of flood) p.say(Array.from({ length: 1024 }, (_, i) => `SUB ext.*.${i}.> ${i}\r\n`));
  for (const p of flood) assert.equal(await p.since(p.text.length), '');
  const ear = await bus.peer();
  ear.say('SUB ext.quiet 1\r\nPUB ext.quiet 2\r\nhi\r\n');
  await ear.said('MSG ext.quiet 1 2\r\nhi\r\n');
  if (!sanitized(bus.pid)) assert.ok(rssMiB(bus.pid) - before < 128, `${rssMiB(bus.pid) - before} MiB more`);
  for (const p of flood) p.cut();
  ear.say('PUB ext.quiet 3\r\nbye\r\n');
  await ear.said('bye\r\n');
  ear.cut();
});

test('payloads: empty, binary, exactly 1 MiB, byte by byte, and without CR', async () => {
  const p = await bus.peer();
  p.say('SUB ext.p 1\r\n', 'PUB ext.p 0\r\n\r\n', 'PUB ext.p 4\r\n\r\n\0\xff\r\n');
  assert.equal(await p.since(p.text.indexOf('PONG\r\n') + 6), 'MSG ext.p 1 0\r\n\r\nMSG ext.p 1 4\r\n\r\n\0\xff\r\n');
  // Headers are passed on unread.
  p.say('HPUB ext.p 12 13\r\nHTTP/1.0\r\n\r\nx\r\n');
  await p.said('HMSG ext.p 1 12 13\r\nHTTP/1.0\r\n\r\nx\r\n');
  let mark = p.text.length;
  p.say(`PUB ext.p ${MIB}\r\n`, Buffer.alloc(MIB, 'x'), '\r\n');
  const whole = await p.since(mark);
  assert.equal(whole.length, `MSG ext.p 1 ${MIB}\r\n`.length + MIB + 2);
  mark = p.text.length;
  for (const b of 'pub\text.p  5\r\nhello\r\nPub ext.p 1\nx\n') p.say(b);
  assert.equal(await p.since(mark), 'MSG ext.p 1 5\r\nhello\r\nMSG ext.p 1 1\r\nx\r\n');
  p.cut();
});

test('who does not say CONNECT in five seconds is closed, however he trickles', async () => {
  await Promise.all(
    [null, 'CONN', 'PING\r\n'].flatMap((text) => [false, true].map(async (tcp) => {
      if (text === 'PING\r\n' && tcp) return;
      const p = bus.raw(tcp);
      if (text) p.say(text);
      await p.end(20000);
      assert.ok(p.text.endsWith("-ERR 'Authentication Timeout'\r\n"), p.text);
    })),
  );
});

test('on TCP: no token, a wrong one, part of it; and a guest with the right one', async () => {
  for (const [what, connect] of [
    ['none', {}], ['wrong', { auth_token: 'wrong' }], ['empty', { auth_token: '' }], ['null', { auth_token: null }], ['a number', { auth_token: 7 }], ['a list', { auth_token: [TOKEN] }],
    ['a part', { auth_token: TOKEN.slice(0, -1) }], ['more', { auth_token: `${TOKEN}x` }], ['twice', { auth_token: TOKEN + TOKEN }], ['the other case', { auth_token: TOKEN.toUpperCase() }],
    ['NUL behind it', { auth_token: `${TOKEN}\0` }], ['NUL and more', { auth_token: `${TOKEN}\0x` }], ['elsewhere', { pass: TOKEN, user: TOKEN, jwt: TOKEN }],
  ]) {
    const p = bus.raw(true);
    p.say(`CONNECT ${JSON.stringify({ verbose: false, ...connect })}\r\nPING\r\nPUB ext.a 1\r\nx\r\n`);
    await p.end();
    assert.equal(p.text.slice(p.text.indexOf('\r\n') + 2), "-ERR 'Authorization Violation'\r\n", what);
  }
  for (const text of ['PING\r\n', 'PUB ext.a 1\r\nx\r\n', 'SUB > 1\r\n']) {
    const p = bus.raw(true);
    p.say(text);
    await p.end();
    assert.ok(p.text.endsWith("-ERR 'Authorization Violation'\r\n"), `${text} before CONNECT`);
  }
  for (const name of ['decnet-cli', 'decnet-api', 'decnet-mutator', 'decnet-resolver', 'decnet-guest']) {
    const p = await bus.peer({ name }, true);
    const mark = p.text.length;
    p.say('PUB topology.x.status 1\r\nx\r\nPUB identity.formed 1\r\nx\r\nPUB ext.a 1\r\nx\r\n');
    const heard = await p.since(mark);
    assert.equal(heard, `-ERR 'Permissions Violation for Publish to "topology.x.status"'\r\n-ERR 'Permissions Violation for Publish to "identity.formed"'\r\n`, `${name} is a guest on TCP`);
    p.cut();
  }
  assert.ok(!bus.log.includes(TOKEN), 'the token is in no log');
});

// The contract's table once more, as examples that a role may (true) and may not publish.
const MAY = {
  api: { 'topology.x.created': 1, 'topology.x.changed': 1, 'topology.x.deleted': 1, 'topology.x.status': 1, 'topology.x.mutation.enqueued': 1, 'topology.x.mutation.cancelled': 1, 'identity.formed': 1, 'identity.a.b': 1, 'system.api.health': 1, 'system.mutator.control': 1 },
  mutator: { 'topology.x.status': 1, 'topology.x.changed': 1, 'topology.x.mutation.applied': 1, 'topology.x.mutation.enqueued': 1, 'topology.x.mutation.cancelled': 1, 'decky.a.state': 1, 'decky.a.traffic': 1, 'system.mutator.health': 1, 'system.netd.health': 1 },
  resolver: { 'attacker.observed': 1, 'attacker.session.started': 1, 'identity.formed': 1, 'identity.a.b': 1, 'credential.captured': 1, 'decky.a.traffic': 1, 'system.log': 1, 'system.resolver.health': 1, 'system.decoy.health': 1 },
  guest: {},
};
const OPEN = ['ext.a', 'ext.a.b', 'topology.x.ext.a', 'decky.a.ext.b', 'attacker.ext.a', 'identity.ext.a'];
const SUBJECTS = [
  ...new Set(Object.values(MAY).flatMap(Object.keys)), ...OPEN, '_INBOX.a', '_INBOX.a.b', '_INBOX', 'topology.x', 'topology.created', 'topology.x.y.created', 'topology.x.deployed', 'decky.a', 'decky', 'identity', 'attacker', 'credential', 'ext', 'exta.b',
  'system.bus.dropped', 'system.bus.health', 'system.cli.health', 'system.api.control', 'system.x.health', 'system.log.x', 'topology.ext.a', 'decky.ext.a', 'attacker.a.ext', 'identity.a.ext.b', '$SYS.a', 'anything',
];

function expected(role, subject) {
  if (/^_INBOX\../.test(subject) || role === 'cli') return true;
  if (role === 'guest') return OPEN.includes(subject);
  if (role === 'resolver' && /^(attacker|identity|credential)\../.test(subject)) return true;
  if (role === 'mutator' && (/^decky\../.test(subject) || /^topology\.[^.]+\.mutation\../.test(subject))) return true;
  if (role === 'api' && (/^identity\../.test(subject) || /^system\.[^.]+\.control$/.test(subject))) return true;
  return Boolean(MAY[role][subject]);
}

async function publishes(p, subject) {
  const mark = p.text.length;
  p.say(`PUB ${subject} 1\r\nx\r\n`);
  const heard = await p.since(mark);
  if (heard === '') return true;
  assert.equal(heard, `-ERR 'Permissions Violation for Publish to "${subject}"'\r\n`);
  return false;
}

test('each role may publish what the contract says and nothing else; names that are no role are guests', async () => {
  for (const [name, role] of [['decnet-api', 'api'], ['decnet-mutator', 'mutator'], ['decnet-resolver', 'resolver'], ['decnet-cli', 'cli'], ['decnet-guest', 'guest'], ['decnet-root', 'guest'], ['decnet-', 'guest'], ['decnet-API', 'guest'], ['decnet-api ', 'guest'], [' decnet-api', 'guest'], ['api', 'guest'], ['Decnet-api', 'guest'], ['decnet-api\0', 'guest'], ['decnet-bus', 'guest'], ['decnet-decoy', 'guest'], ['', 'guest'], [7, 'guest'], [null, 'guest'], [['decnet-api'], 'guest']]) {
    const p = await bus.peer({ name });
    for (const subject of SUBJECTS) assert.equal(await publishes(p, subject), expected(role, subject), `${JSON.stringify(name)} ${subject}`);
    p.cut();
  }
});

test('a role ends with the next CONNECT', async () => {
  const p = await bus.peer({ name: 'decnet-cli' });
  assert.equal(await publishes(p, 'identity.formed'), true);
  p.say('CONNECT {"verbose":false,"name":"guest"}\r\n');
  assert.equal(await publishes(p, 'identity.formed'), false);
  p.cut();
});

test('all roles may hear everything, and a guest\'s words are heard as a guest\'s', async () => {
  const ear = await bus.peer({ name: 'guest' });
  ear.say('SUB > 1\r\n');
  const cli = await bus.peer({ name: 'decnet-cli' });
  assert.equal(await publishes(cli, 'system.api.control'), true);
  await ear.said('MSG system.api.control 1 1\r\nx\r\n');
  for (const p of [ear, cli]) p.cut();
});

/** A peer of another user: what it says and hears goes through a small relay that has dropped its ids. */
async function asNobody(broker) {
  const relay = 'import socket,sys,threading\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ndef up():\n  while True:\n    d=sys.stdin.buffer.raw.read(65536)\n    if not d: break\n    s.sendall(d)\nthreading.Thread(target=up,daemon=True).start()\nwhile True:\n  d=s.recv(65536)\n  if not d: break\n  sys.stdout.buffer.raw.write(d)';
  const child = spawn('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '/usr/bin/python3', '-c', relay, broker.path], { stdio: ['pipe', 'pipe', 'pipe'], cwd: '/', env: { PATH: '/usr/bin:/bin' } });
  const p = { text: '', failed: '' };
  child.stdout.on('data', (d) => (p.text += d.toString('latin1')));
  child.stderr.on('data', (d) => (p.failed += d));
  child.stdin.on('error', () => {});
  p.say = (text) => child.stdin.write(text);
  p.since = async (mark) => {
    p.say('PING\r\n');
    await eventually(`PONG (${p.failed})`, () => p.text.slice(mark).includes('PONG\r\n'));
    const heard = p.text.slice(mark);
    return heard.slice(0, heard.lastIndexOf('PONG\r\n'));
  };
  p.exited = new Promise((good) => child.once('exit', good));
  p.cut = () => child.kill();
  return p;
}

const notRoot = process.getuid() !== 0 && 'only root can be another user';

test('another user of the machine cannot reach the socket', { skip: notRoot }, async () => {
  const p = await asNobody(bus);
  await p.exited;
  assert.match(p.failed, /PermissionError/);
  assert.equal(p.text, '');
});

test('another user who can reach it is a guest, whatever he calls himself', { skip: notRoot }, async () => {
  chmodSync(bus.dir, 0o711);
  chmodSync(bus.path, 0o666);
  try {
    for (const name of ['decnet-cli', 'decnet-api', 'decnet-mutator', 'decnet-resolver']) {
      const p = await asNobody(bus);
      p.say(`CONNECT {"verbose":false,"name":"${name}"}\r\n`);
      await p.since(0);
      for (const subject of SUBJECTS) assert.equal(await publishes(p, subject), expected('guest', subject), `${name} ${subject}`);
      p.cut();
    }
  } finally {
    chmodSync(bus.path, 0o660);
    chmodSync(bus.dir, 0o700);
  }
});

test('DECNET_BUS_ROLES gives a user one role and no other', { skip: notRoot }, async () => {
  const other = await Broker.start({ DECNET_BUS_ROLES: 'mutator=nobody' });
  chmodSync(other.dir, 0o711);
  chmodSync(other.path, 0o666);
  try {
    for (const [name, role] of [['decnet-mutator', 'mutator'], ['decnet-api', 'guest'], ['decnet-cli', 'guest'], ['decnet-resolver', 'guest']]) {
      const p = await asNobody(other);
      p.say(`CONNECT {"verbose":false,"name":"${name}"}\r\n`);
      await p.since(0);
      for (const subject of SUBJECTS) assert.equal(await publishes(p, subject), expected(role, subject), `${name} ${subject}`);
      p.cut();
    }
  } finally {
    await other.stop();
  }
});

test('a slow reader loses its oldest messages, is told of, and holds nobody up', async () => {
  const [N, BODY] = [20000, 1000];
  const watch = await bus.peer({ name: 'watch' });
  watch.say('SUB system.bus.dropped 1\r\n');
  const quick = await bus.peer({ name: 'quick' });
  quick.say('SUB ext.flood 1\r\n');
  const slow = await bus.peer({ name: 'sleepy' });
  slow.say('SUB ext.flood 1\r\n');
  await slow.since(0);
  slow.socket.pause();
  const from = await bus.peer({ name: 'flood' });
  const before = rssMiB(bus.pid);
  for (let i = 1; i <= N; i += 500) {
    from.say(Array.from({ length: 500 }, (_, k) => `PUB ext.flood ${BODY}\r\n${String(i + k).padStart(BODY, '#')}\r\n`));
    await from.since(from.text.length);
  }
  await quick.until('all for the quick', () => quick.text.endsWith(`${String(N).padStart(BODY, '#')}\r\n`));
  assert.equal(quick.text.split('MSG ext.flood').length - 1, N, 'the quick one lost nothing');
  await watch.said('"name":"sleepy"');
  const event = JSON.parse(watch.text.split('\r\n').find((l) => l.includes('"name":"sleepy"')));
  assert.equal(event.topic, 'system.bus.dropped');
  assert.deepEqual(Object.keys(event.payload).sort(), ['client_id', 'dropped', 'dropped_total', 'name', 'pending_bytes', 'role', 'ts']);
  assert.equal(event.payload.role, 'guest');
  assert.ok(event.payload.dropped > 0);
  assert.ok(event.payload.pending_bytes <= 8 * MIB);
  if (!sanitized(bus.pid)) assert.ok(rssMiB(bus.pid) - before < 64, 'what waits is bounded');
  slow.socket.resume();
  await slow.until('the newest', () => slow.text.endsWith(`${String(N).padStart(BODY, '#')}\r\n`));
  const numbers = [...slow.text.matchAll(/#(\d+)\r\n/g)].map((m) => Number(m[1]));
  assert.ok(numbers.length >= 1024 && numbers.length < N, `${numbers.length} messages`);
  assert.ok(numbers.every((v, i) => i === 0 || v > numbers[i - 1]), 'in order');
  for (const p of [watch, quick, slow, from]) p.cut();
});

test('ten thousand connections: 1024 stay, the others are told why, and there is room again afterwards', async () => {
  const ear = await bus.peer({ name: 'ear' });
  ear.say('SUB ext.> 1\r\n');
  const memory = rssMiB(bus.pid);
  const peers = [];
  let refused = 0;
  for (let i = 0; i < 10000; i += 500) {
    const some = Array.from({ length: 500 }, () => bus.raw());
    // Accepted: INFO. Refused: the error, then the end.
    await Promise.all(some.map((p) => p.until('an answer', () => p.text.startsWith('INFO ') || p.text.includes('-ERR') || p.closed)));
    for (const p of some) {
      if (p.text.startsWith('INFO ') && !p.text.includes('-ERR')) peers.push(p);
      else {
        assert.match(p.text, /-ERR 'Maximum Connections Exceeded'\r\n$/);
        refused++;
      }
    }
  }
  assert.ok(refused > 5000, `${refused} refused`);
  ear.say('PUB ext.a 5\r\nstill\r\n');
  await ear.said('still\r\n');
  if (!sanitized(bus.pid)) assert.ok(rssMiB(bus.pid) - memory < 64, `${rssMiB(bus.pid) - memory} MiB more`);
  for (const p of peers) p.cut();
  await eventually('there is room again', async () => {
    const p = bus.raw();
    await p.until('an answer', () => p.text.includes('\r\n') || p.closed);
    p.cut();
    return p.text.startsWith('INFO ') && !p.text.includes('-ERR');
  });
  ear.cut();
});

test('after all of this the broker is the same one', async () => {
  const p = await bus.peer();
  p.cut();
  assert.equal(bus.process.exitCode, null);
  assert.ok(!/AddressSanitizer|runtime error/.test(bus.log), bus.log.slice(-2000));
});
