// SPDX-License-Identifier: Apache-2.0
// Where decnet-bus and nats-server answer differently, and why. What is in no row here must be the same, byte for byte.

const closed = (name, text) => [`${name} < -ERR '${text}'`];
const parser = closed('a', 'Parser Error');
const unknown = closed('a', 'Unknown Protocol Operation');
const invalid = (name) => closed(name, 'Invalid Publish Subject');
const SAYS_WHY = 'every line that cannot be read is answered with Parser Error before the connection closes; nats-server closes without a word';
const ONE_NAME = 'what is wrong with a known verb is a Parser Error, whatever follows the verb';
const ALWAYS = 'an invalid subject of PUB is refused whether the client is pedantic or not, and no +OK follows a refusal';
const BOUNDED = 'a subject has at most 16 tokens and 255 bytes';
const SPELLING = 'the texts of -ERR have capitals throughout';

/** [scene, lines that only ours has, lines that only nats-server has, reason] */
export const DIFFERENCES = [
  ['CONNECT that is not JSON', parser, [], SAYS_WHY],
  ['CONNECT that is no object', parser, [], SAYS_WHY],
  ['CONNECT without anything', parser, [], SAYS_WHY],
  ['PUB with a negative size', parser, [], SAYS_WHY],
  ['PUB with a size that is no number', parser, [], SAYS_WHY],
  ['PUB without a size', parser, [], SAYS_WHY],
  ['PUB with too many fields', parser, [], SAYS_WHY],
  ['HPUB whose headers are longer than all', parser, [], SAYS_WHY],
  ['HPUB without sizes', parser, [], SAYS_WHY],
  ['HPUB with one size', parser, [], SAYS_WHY],
  ['SUB without a sid', parser, [], SAYS_WHY],
  ['SUB with too many fields', parser, [], SAYS_WHY],
  ['UNSUB with too many fields', parser, [], SAYS_WHY],
  ['PUB of a size beyond all numbers', closed('a', 'Maximum Payload Violation'), [], 'a number that is too great is too great, however long it is; nats-server closes without a word'],
  ['PUB without anything', parser, unknown, ONE_NAME],
  ['SUB without anything', parser, unknown, ONE_NAME],
  ['UNSUB without a sid', parser, unknown, ONE_NAME],
  ['PUB whose payload is longer than it says', parser, unknown, ONE_NAME],
  ['PING with something behind it', [...parser, 'a < (closed)'], ['a < PONG', 'a < PONG'], 'PING has no fields; nats-server skips what follows it'],
  ['PUB whose payload ends in LF', ['a < MSG ext.a 1 1\\r\\nx', 'a < PONG'], [...unknown, 'a < (closed)'], 'LF alone ends a line, also the one behind a payload'],
  ['PUB to a wildcard', [], ['a < +OK', 'a < +OK'], ALWAYS],
  ['PUB to a wildcard, not pedantic', invalid('a'), ['a < +OK'], ALWAYS],
  [
    'PUB to subjects with empty tokens',
    [],
    ['ext.', '.ext', 'ext..a'].map((s) => `a < -ERR 'Permissions Violation for Publish to \\"${s}\\"'`),
    'a line is refused once, for the first reason; nats-server goes on to look at the rights of a subject that is none',
  ],
  ['PUB with an invalid reply', invalid('b'), ['a < MSG ext.a 1 a..b 1\\r\\nx'], 'a reply is a subject, so that whoever answers it is not refused for it'],
  ['PUB with 17 tokens', invalid('b'), [`a < MSG ext${'.t'.repeat(16)} 1 1\\r\\nx`], BOUNDED],
  ['PUB with a subject of 256 bytes', invalid('b'), [`a < MSG ext.${'s'.repeat(52)}…267 bytes`], BOUNDED],
  [
    'HPUB to one that does not speak of headers',
    ['a < HMSG ext.a 1 26 30\\r\\nNATS/1.0\\r\\nA: 1\\r\\nB: two\\r\\n\\r\\nbody'],
    ['a < MSG ext.a 1 4\\r\\nbody'],
    'headers are stripped for a client that said headers:false; nats-server strips them unless it said headers:true',
  ],
  ['HPUB of one that wants no headers', ['a < MSG ext.a 1 1\\r\\nx', 'a < PONG'], ['a < (closed)'], 'headers:false is about what the client gets, not about what it may send'],
  ['SUB over the ceiling', closed('a', 'Maximum Subscriptions Exceeded'), closed('a', 'maximum subscriptions exceeded'), SPELLING],
  ['a line over the ceiling', closed('a', 'Maximum Control Line Exceeded'), closed('a', 'maximum control line exceeded'), SPELLING],
  ['a line that never ends', closed('a', 'Maximum Control Line Exceeded'), closed('a', 'maximum control line exceeded'), SPELLING],
  ['a line of HTTP', unknown, closed('a', 'Authorization Violation'), 'what is no verb is named as that, also before CONNECT'],
  [
    'request that nobody serves',
    [],
    ['a < HMSG _INBOX.abc 1 16 16\\r\\nNATS/1.0 503\\r\\n\\r\\n'],
    'no_responders is a key of CONNECT that is ignored: the asker waits for its own deadline',
  ],
];

/** What only our broker is asked: the whole talk. */
export const OURS_ALONE = {
  'PUB over the greatest size, to the end': ['a < PONG', "a < -ERR 'Maximum Payload Violation'", 'a < (closed)'],
};
