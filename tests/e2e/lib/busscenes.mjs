// SPDX-License-Identifier: Apache-2.0
// What clients say to a broker, scene by scene: every verb, every flag and every refusal of the bus.

const msg = (subject, payload, reply = '') => `PUB ${subject} ${reply}${reply ? ' ' : ''}${payload.length}\r\n${payload}\r\n`;
const hmsg = (subject, headers, payload, reply = '') =>
  `HPUB ${subject} ${reply}${reply ? ' ' : ''}${headers.length} ${headers.length + payload.length}\r\n${headers}${payload}\r\n`;
const HEADERS = 'NATS/1.0\r\nA: 1\r\nB: two\r\n\r\n';

/** One client that says this and sees what comes. */
const alone = (text, options) => async (s) => {
  const a = await s.client('a', options);
  await a.say(text);
};

/** One client whose last words these are. */
const dies = (text, options) => async (s) => {
  const a = await s.client('a', options);
  await a.last(text);
};

/** Subscriptions of one, publications of the other. */
const between = (subscribe, publish, options = {}) => async (s) => {
  const a = await s.client('a', options.a);
  const b = await s.client('b', options.b);
  await a.say(subscribe);
  await b.say(publish);
  await a.sync();
};

const names = new Set();
/** [name, run, options]: anyOrder, where a broker may send one message to several subscriptions in any order; alone, what only ours is asked. */
export const SCENES = [
  // CONNECT
  ['CONNECT says +OK by default', async (s) => {
    const a = await s.client('a', { verbose: undefined });
    await a.say('SUB ext.a 1\r\n');
    await a.say(msg('ext.a', 'x'));
    await a.say('UNSUB 1\r\n');
  }],
  ['CONNECT verbose false', alone(`SUB ext.a 1\r\n${msg('ext.a', 'x')}UNSUB 1\r\n`)],
  ['CONNECT again changes the flags', async (s) => {
    const a = await s.client('a');
    await a.say('SUB ext.a 1\r\n');
    await a.say(`CONNECT {"verbose":true,"echo":false,"auth_token":"${s.token}","user":"guest","pass":"${s.token}"}\r\n`);
    await a.say(msg('ext.a', 'x'));
  }],
  ['CONNECT echo false keeps own messages away', between('SUB ext.a 1\r\n' + msg('ext.a', 'own'), msg('ext.a', 'other'), { a: { echo: false } })],
  ['CONNECT echo true', between('SUB ext.a 1\r\n' + msg('ext.a', 'own'), msg('ext.a', 'other'), { a: { echo: true } })],
  ['CONNECT with keys that nobody knows', alone('SUB ext.a 1\r\n', { fancy: [1, { a: null }], name: 'näme', jwt: '' })],
  ['CONNECT in lower case with tabs and LF', async (s) => {
    const a = await s.open('a');
    await a.say(`connect\t{"verbose":false,"auth_token":"${s.token}","user":"guest","pass":"${s.token}"}\n`);
    await a.say('sub\text.a\t1\n');
    await a.say('pub  ext.a \t 1\nx\r\n');
    await a.say('Unsub 1\n');
  }],
  ['PUB whose payload ends in LF', alone('SUB ext.a 1\r\nPUB ext.a 1\nx\n')],
  ['CONNECT that is not JSON', async (s) => (await s.open('a')).last('CONNECT {"verbose":\r\n')],
  ['CONNECT that is no object', async (s) => (await s.open('a')).last('CONNECT [1]\r\n')],
  ['CONNECT without anything', async (s) => (await s.open('a')).last('CONNECT\r\n')],
  ['CONNECT with a wrong token', async (s) => (await s.open('a')).last('CONNECT {"auth_token":"wrong","user":"guest","pass":"wrong"}\r\n')],
  ['CONNECT without a token', async (s) => (await s.open('a')).last('CONNECT {}\r\n')],
  ['a verb before CONNECT', async (s) => (await s.open('a')).last('SUB ext.a 1\r\n')],
  ['PING before CONNECT', async (s) => (await s.open('a')).last('PING\r\n')],
  ['no CONNECT in time', async (s) => (await s.open('a')).last('', 20000)],

  // PING, PONG
  ['PING and PONG', alone('PING\r\nPONG\r\nping\r\nPoNg\r\n')],
  ['PONG that nobody asked for, verbose', alone('PONG\r\n', { verbose: true })],
  ['empty lines', dies('\r\n')],
  ['PING with something behind it', alone('PING x\r\n')],

  // PUB
  ['PUB to nobody', alone(msg('ext.a', 'x'), { verbose: true })],
  ['PUB with a reply', between('SUB ext.a 1\r\n', msg('ext.a', 'x', '_INBOX.r'))],
  ['PUB of nothing', between('SUB ext.a 1\r\n', msg('ext.a', ''))],
  ['PUB of bytes that look like a protocol', between('SUB ext.a 1\r\n', msg('ext.a', 'PING\r\nSUB x 1\r\n\0\xff'))],
  ['PUB byte by byte', async (s) => {
    const a = await s.client('a');
    await a.say('SUB ext.a 1\r\n');
    await a.trickle(msg('ext.a', 'hello', '_INBOX.r') + hmsg('ext.a', HEADERS, 'hello'));
  }],
  ['PUB of the greatest size', between('SUB ext.a 1\r\n', msg('ext.a', 'x'.repeat(1048576)))],
  ['PUB over the greatest size', dies('PUB ext.a 1048577\r\n')],
  ['PUB over the greatest size, to the end', dies(`PUB ext.a 1048577\r\n${'x'.repeat(1048577)}\r\n`), { alone: true }],
  ['PUB of a size beyond all numbers', dies('PUB ext.a 99999999999999999999\r\n')],
  ['PUB with a negative size', dies('PUB ext.a -1\r\n')],
  ['PUB with a size that is no number', dies('PUB ext.a x\r\n')],
  ['PUB without a size', dies('PUB ext.a\r\n')],
  ['PUB without anything', dies('PUB\r\n')],
  ['PUB with too many fields', dies('PUB ext.a b c 1\r\nx\r\n')],
  ['PUB whose payload is longer than it says', dies('PUB ext.a 1\r\nxyz\r\n')],
  ['PUB to a wildcard', alone(msg('ext.*', 'x') + msg('ext.>', 'x'), { verbose: true })],
  ['PUB to subjects with empty tokens', alone(msg('ext.', 'x') + msg('.ext', 'x') + msg('ext..a', 'x'), { verbose: true })],
  ['PUB to a wildcard, not pedantic', alone(msg('ext.*', 'x'), { verbose: true, pedantic: false })],
  ['PUB with wildcard letters inside a token', between('SUB ext.> 1\r\n', msg('ext.a*', 'x') + msg('ext.b>c', 'x'))],
  ['PUB where it may not', alone(msg('system.log', 'x') + msg('ext.a', 'y'), { verbose: true })],
  ['PUB where it may not, with headers', alone(hmsg('attacker.observed', HEADERS, 'x'), { verbose: true })],
  ['PUB with an invalid reply', between('SUB ext.a 1\r\n', msg('ext.a', 'x', 'a..b'))],
  ['PUB with 16 tokens', between('SUB ext.> 1\r\n', msg(`ext${'.t'.repeat(15)}`, 'x'))],
  ['PUB with 17 tokens', between('SUB ext.> 1\r\n', msg(`ext${'.t'.repeat(16)}`, 'x'))],
  ['PUB with a subject of 255 bytes', between('SUB ext.> 1\r\n', msg(`ext.${'s'.repeat(251)}`, 'x'))],
  ['PUB with a subject of 256 bytes', between('SUB ext.> 1\r\n', msg(`ext.${'s'.repeat(252)}`, 'x'))],

  // HPUB
  ['HPUB', between('SUB ext.a 1\r\n', hmsg('ext.a', HEADERS, 'x'))],
  ['HPUB with a reply, verbose', between('SUB ext.a 1\r\n', hmsg('ext.a', HEADERS, 'x', '_INBOX.r'), { b: { verbose: true } })],
  ['HPUB to one that wants no headers', between('SUB ext.a 1\r\n', hmsg('ext.a', HEADERS, 'body', '_INBOX.r'), { a: { headers: false } })],
  ['HPUB to one that does not speak of headers', between('SUB ext.a 1\r\n', hmsg('ext.a', HEADERS, 'body'), { a: { headers: undefined } })],
  ['HPUB of one that wants no headers', alone(`SUB ext.a 1\r\n${hmsg('ext.a', HEADERS, 'x')}`, { headers: false })],
  ['HPUB with headers only', between('SUB ext.a 1\r\n', hmsg('ext.a', HEADERS, ''))],
  ['HPUB with a status line', between('SUB ext.a 1\r\n', hmsg('ext.a', 'NATS/1.0 503\r\n\r\n', ''))],
  ['HPUB whose headers are longer than all', dies('HPUB ext.a 10 5\r\nhello\r\n')],
  ['HPUB over the greatest size', dies(`HPUB ext.a ${HEADERS.length} 1048577\r\n`)],
  ['HPUB without sizes', dies('HPUB ext.a\r\n')],
  ['HPUB with one size', dies('HPUB ext.a 5\r\nhello\r\n')],
  ['HPUB with header bytes that are none', between('SUB ext.a 1\r\n', 'HPUB ext.a 5 6\r\nhello!\r\n')],
  ['HPUB with no header bytes', between('SUB ext.a 1\r\n', 'HPUB ext.a 0 5\r\nhello\r\n')],

  // SUB
  ['SUB with wildcards', between(
    ['ext.*', 'ext.>', 'ext.*.c', 'ext.a.c', '*.a.*', '>'].map((p, i) => `SUB ${p} ${i + 1}\r\n`).join(''),
    msg('ext.a', 'two'),
  ), { anyOrder: true }],
  ['SUB with wildcards, three tokens', between(
    ['ext.*', 'ext.>', 'ext.*.c', 'ext.a.c', '*.a.*', '>', 'ext', 'ext.a.c.d'].map((p, i) => `SUB ${p} ${i + 1}\r\n`).join(''),
    msg('ext.a.c', 'three'),
  ), { anyOrder: true }],
  ['SUB with wildcard letters inside a token', between('SUB ext.a* 1\r\nSUB ext.b>c 2\r\n', msg('ext.ab', 'no') + msg('ext.bxc', 'no'))],
  ['SUB twice with one sid', between('SUB ext.a 1\r\nSUB ext.b 1\r\n', msg('ext.a', 'a') + msg('ext.b', 'b'))],
  ['SUB twice to one subject', between('SUB ext.a 1\r\nSUB ext.a 2\r\n', msg('ext.a', 'a')), { anyOrder: true }],
  ['SUB with a sid of letters', between('SUB ext.a a-1_B\r\n', msg('ext.a', 'a'))],
  ['SUB to invalid patterns', alone('SUB ext..a 1\r\nSUB .a 2\r\nSUB ext. 3\r\nSUB ext.>.a 4\r\n', { verbose: true })],
  ['SUB without a sid', dies('SUB ext.a\r\n')],
  ['SUB without anything', dies('SUB\r\n')],
  ['SUB with too many fields', dies('SUB a b c d\r\n')],
  ['SUB to a queue', between('SUB ext.a q 1\r\nSUB ext.a q 1\r\n', msg('ext.a', 'one'))],
  ['SUB of two queues and none', between('SUB ext.a q 1\r\nSUB ext.a r 2\r\nSUB ext.a 3\r\n', msg('ext.a', 'x')), { anyOrder: true }],
  ['SUB of one queue by one member and one who left', async (s) => {
    const a = await s.client('a');
    const b = await s.client('b');
    await a.say('SUB ext.a q 1\r\n');
    await b.say('SUB ext.a q 7\r\n');
    await a.say('UNSUB 1\r\n');
    await a.say(msg('ext.a', '1') + msg('ext.a', '2') + msg('ext.a', '3'));
    await b.sync();
  }],
  ['SUB over the ceiling', async (s) => {
    const a = await s.client('a', { verbose: false });
    await a.say(Array.from({ length: 1024 }, (_, i) => `SUB ext.n${i} ${i}\r\n`).join(''));
    await a.say('SUB ext.more 1024\r\n');
    await a.say(msg('ext.more', 'x') + msg('ext.n1023', 'y'));
  }],

  // UNSUB
  ['UNSUB', async (s) => {
    const a = await s.client('a');
    await a.say('SUB ext.a 1\r\n');
    await a.say(msg('ext.a', '1'));
    await a.say('UNSUB 1\r\n');
    await a.say(msg('ext.a', '2'));
  }],
  ['UNSUB with a number still to come', between('SUB ext.a 1\r\nUNSUB 1 2\r\n', msg('ext.a', '1') + msg('ext.a', '2') + msg('ext.a', '3'))],
  ['UNSUB with a number that has been', async (s) => {
    const a = await s.client('a');
    await a.say('SUB ext.a 1\r\n');
    await a.say(msg('ext.a', '1') + msg('ext.a', '2'));
    await a.say('UNSUB 1 2\r\n');
    await a.say(msg('ext.a', '3'));
  }],
  ['UNSUB with a number partly past', async (s) => {
    const a = await s.client('a');
    await a.say('SUB ext.a 1\r\n');
    await a.say(msg('ext.a', '1'));
    await a.say('UNSUB 1 3\r\n');
    await a.say(msg('ext.a', '2') + msg('ext.a', '3') + msg('ext.a', '4'));
  }],
  ['UNSUB with zero', between('SUB ext.a 1\r\nUNSUB 1 0\r\n', msg('ext.a', '1'))],
  ['UNSUB of what is not there', alone('UNSUB 9\r\nUNSUB 9 4\r\n', { verbose: true })],
  ['UNSUB without a sid', dies('UNSUB\r\n')],
  ['UNSUB with too many fields', dies('UNSUB 1 2 3\r\n')],

  // What no client may say
  ['an unknown verb', dies('HELLO\r\n')],
  ['a verb of the broker', dies('MSG ext.a 1 1\r\nx\r\n')],
  ['a line over the ceiling', dies(`SUB ${'s'.repeat(5000)} 1\r\n`)],
  ['a line that never ends', dies(`SUB ${'s'.repeat(4500)}`)],
  ['a line of HTTP', async (s) => (await s.open('a')).last('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],

  // More than one
  ['request and reply', async (s) => {
    const a = await s.client('a');
    const b = await s.client('b');
    await b.say('SUB ext.service 5\r\n');
    await a.say('SUB _INBOX.abc.* 1\r\n');
    await a.say(msg('ext.service', 'ask', '_INBOX.abc.1'));
    await b.sync();
    await b.say(msg('_INBOX.abc.1', 'answer'));
    await a.sync();
  }],
  ['request that nobody serves', async (s) => {
    const a = await s.client('a', { no_responders: true });
    await a.say('SUB _INBOX.abc 1\r\n');
    await a.say(msg('ext.nobody', 'ask', '_INBOX.abc'));
  }],
  ['order of many', between('SUB ext.> 1\r\n', Array.from({ length: 50 }, (_, i) => msg(`ext.n${i % 3}`, String(i))).join(''))],
  ['a subscriber that leaves', async (s) => {
    const a = await s.client('a');
    const b = await s.client('b');
    await a.say('SUB ext.a 1\r\n');
    a.cut();
    await a.wait('its end', () => a.closed);
    await b.say(msg('ext.a', 'x'));
  }],
].map(([name, run, options = {}]) => {
  if (names.has(name)) throw new Error(`two scenes are called ${name}`);
  names.add(name);
  return { name, run, ...options };
});
