// SPDX-License-Identifier: Apache-2.0
// The contract as tables: what a value of each kind may not be, and what an answer must be made of.
import assert from 'node:assert/strict';
import { exchange } from './raw.mjs';

export const NOBODY = '0195f000-0000-7000-8000-000000000000';
export const INVALID = 'Invalid request parameters';
const LONG = 'x'.repeat(1_000_000);

/** JSON text that is taken as it is by `bodyText`, for values that JavaScript cannot hold. */
export class Literal {
  constructor(text) {
    this.text = text;
  }
}

export function bodyText(value) {
  if (value instanceof Literal) return value.text;
  if (Array.isArray(value)) return `[${value.map(bodyText).join(',')}]`;
  if (value && typeof value === 'object') return `{${Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}:${bodyText(v)}`).join(',')}}`;
  return JSON.stringify(value);
}

const HUGE = ['99999999999999999999', '-99999999999999999999', '1e400', '-1e400'].map((t) => new Literal(t));
const NO_TEXT = [5, 1.5, true, false, [], {}, ['a'], new Literal('99999999999999999999')];
const NO_LABEL = ['', '-a', '_a', 'a b', 'a.b', 'a/b', 'ä', 'a\u0000', 'a\n', 'x'.repeat(65), LONG];

/** Values that a field of this kind must refuse, whatever its route. */
export const BAD = {
  text: [...NO_TEXT, '', 'a\u0000b', LONG],
  id: [...NO_TEXT, 'a\u0000b'],
  title: [...NO_TEXT, '', 'a\u0000b', 'a\u0007b', 'a\nb', 'a\u007fb', 'x'.repeat(65), LONG],
  lan: [...NO_TEXT, ...NO_LABEL],
  decky: [...NO_TEXT, ...NO_LABEL, 'A', 'a_b', 'a-'],
  word: [...NO_TEXT, '', 'nothing', 'Unihost', LONG],
  int: ['5', '', 1.5, true, false, [], {}, ...HUGE],
  num: ['5', '', true, false, [], {}, new Literal('1e400'), new Literal('-1e400')],
  bool: ['true', 'false', '', 0, 1, [], {}],
  object: ['{}', '', 0, 1.5, true, false, [], [{}], LONG],
  texts: ['a', '', 0, 1.5, true, false, {}],
};

/** [label, body, field]: every way in which one field of a good body can be wrong. */
export function wrongBodies(good, fields) {
  const cases = [];
  for (const [path, spec] of Object.entries(fields)) {
    const keys = path.split('.');
    const change = (f) => {
      const body = structuredClone(good);
      let at = body;
      for (const k of keys.slice(0, -1)) at = at[k] ??= {};
      f(at, keys.at(-1));
      return body;
    };
    const set = (value) => {
      const body = change((at, k) => (at[k] = null));
      let at = body;
      for (const k of keys.slice(0, -1)) at = at[k];
      at[keys.at(-1)] = value;
      return body;
    };
    const bad = [...BAD[spec.kind], ...(spec.bad ?? []), ...(spec.nullable ? [] : [null])];
    if (spec.range) bad.push(spec.range[0] - 1, spec.range[1] + 1);
    for (const value of bad) {
      const shown = bodyText(value);
      cases.push([`${path} = ${shown.length > 40 ? `${shown.slice(0, 20)}… (${shown.length})` : shown}`, set(value), path]);
    }
    for (const [value, field] of spec.inner ?? []) cases.push([`${path} = ${JSON.stringify(value).slice(0, 60)}`, set(value), field]);
    if (spec.required) cases.push([`without ${path}`, change((at, k) => delete at[k]), path]);
  }
  for (const key of ['colour', 'Name', '', 'x'.repeat(80), 'ä', '__proto__x']) cases.push([`unknown key ${JSON.stringify(key).slice(0, 30)}`, { ...good, [key]: 1 }, key]);
  return cases;
}

/** Bodies that are no JSON object: [label, bytes, detail]. */
export function brokenBodies(good) {
  const text = bodyText(good);
  const first = Object.keys(good)[0] ?? 'name';
  const json = 'Malformed JSON body';
  const object = 'Request body must be a JSON object';
  return [
    ['an open brace', '{', json],
    ['two values', `${text}${text}`, json],
    ['something behind', `${text} x`, json],
    ['a comma too many', `${text.slice(0, -1)},}`, json],
    ['a duplicate key', `{"${first}":1,"${first}":1}`, json],
    ['a duplicate key deep inside', '{"payload":{"a":{"b":1,"b":1}}}', json],
    ['a duplicate key with an escape', `{"${first}":1,"\\u${first.charCodeAt(0).toString(16).padStart(4, '0')}${first.slice(1)}":1}`, json],
    ['bad UTF-8', Buffer.concat([Buffer.from(`{"${first}":"`), Buffer.of(0xc3, 0x28), Buffer.from('"}')]), json],
    ['overlong UTF-8', Buffer.concat([Buffer.from(`{"${first}":"`), Buffer.of(0xc0, 0xaf), Buffer.from('"}')]), json],
    ['half a surrogate', `{"${first}":"\\ud800"}`, json],
    ['a byte order mark', `\ufeff${text}`, json],
    ['a control character', `{"${first}":"a\u0001"}`, json],
    ['a number with a zero in front', `{"${first}":01}`, json],
    ['NaN', `{"${first}":NaN}`, json],
    ['nesting of 33', `{"${first}":${'['.repeat(32)}${']'.repeat(32)}}`, json],
    ['nesting of 100000', `{"${first}":${'['.repeat(100000)}`, json],
    ['single quotes', "{'name':'x'}", json],
    ['a list', '[]', object],
    ['a text', '"x"', object],
    ['a number', '5', object],
    ['null', 'null', object],
    ['true', 'true', object],
  ];
}

/** One raw request over a connection of its own; body is text, Buffer or undefined. */
export async function ask(suite, token, method, path, body, headers = ['Content-Type: application/json']) {
  const data = body === undefined ? Buffer.alloc(0) : Buffer.isBuffer(body) ? body : Buffer.from(body, 'utf8');
  const head = [`${method} /api/v1${path} HTTP/1.1`, 'Host: a', `Authorization: Bearer ${token}`, ...(data.length ? [...headers, `Content-Length: ${data.length}`] : []), '', ''];
  const [answer] = await exchange(suite.port, [head.join('\r\n'), data]);
  return readable(answer);
}

/** `exchange` reads one byte a character; ours are UTF-8. */
function readable(answer) {
  answer.body = Buffer.from(answer.body, 'latin1').toString('utf8');
  if (answer.json !== undefined) answer.json = JSON.parse(answer.body);
  return answer;
}

/** The same many times over one connection, one answer each. */
export async function askAll(suite, token, requests) {
  const parts = requests.flatMap(([method, path, body]) => {
    const data = body === undefined ? Buffer.alloc(0) : Buffer.isBuffer(body) ? body : Buffer.from(body, 'utf8');
    const type = data.length ? 'Content-Type: application/json\r\n' : '';
    return [`${method} /api/v1${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n${type}Content-Length: ${data.length}\r\n\r\n`, data];
  });
  const answers = await exchange(suite.port, parts, { deadlineMs: 60000 });
  assert.equal(answers.length, requests.length, 'one answer each');
  return answers.map(readable);
}

/** A 422 about exactly these fields; `detail` where the route names a text. */
export function refused(answer, fields, what, detail = INVALID) {
  assert.equal(answer.status, 422, `${what}: ${answer.status} ${answer.body.slice(0, 300)}`);
  assert.equal(answer.json.detail, detail, what);
  assert.deepEqual([...new Set(answer.json.errors.map((e) => e.field))], [].concat(fields), `${what}: ${answer.body.slice(0, 300)}`);
  for (const e of answer.json.errors) {
    assert.deepEqual(Object.keys(e).sort(), ['field', 'message'], what);
    assert.ok(e.message.length > 0 && e.message.length < 600, what);
  }
}

// Shapes. A value is a check function, a list of one shape, or an object with exactly these keys.
const is = (what, test) => (v, at) => assert.ok(test(v), `${at} is ${JSON.stringify(v)?.slice(0, 100)}, not ${what}`);
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
export const str = is('a text', (v) => typeof v === 'string');
export const int = is('an int', Number.isInteger);
export const num = is('a number', (v) => typeof v === 'number');
export const bool = is('a bool', (v) => typeof v === 'boolean');
export const uuid = is('a uuid', (v) => UUID.test(v));
export const time = is('a time', (v) => TIME.test(v));
export const object = is('an object', (v) => v !== null && typeof v === 'object' && !Array.isArray(v));
export const any = () => {};
export const value = (...all) => is(`one of ${all}`, (v) => all.includes(v));
export const maybe = (shape) => (v, at) => v === null || fits(v, shape, at);
export const listOf = (shape) => (v, at) => {
  assert.ok(Array.isArray(v), `${at} is no list`);
  v.forEach((x, i) => fits(x, shape, `${at}.${i}`));
};
export const envelope = (shape) => ({ total: int, limit: int, offset: int, data: listOf(shape) });

export function fits(v, shape, at = 'body') {
  if (typeof shape === 'function') return void shape(v, at);
  assert.ok(v !== null && typeof v === 'object' && !Array.isArray(v), `${at} is ${JSON.stringify(v)?.slice(0, 80)}, no object`);
  assert.deepEqual(Object.keys(v).sort(), Object.keys(shape).sort(), `keys of ${at}`);
  for (const key of Object.keys(shape)) fits(v[key], shape[key], `${at}.${key}`);
}

export const STATUS = ['pending', 'deploying', 'active', 'degraded', 'failed', 'tearing_down', 'torn_down'];
const endpoint = { service: str, proto: value('tcp', 'udp'), lan: str, address: str, port: int };
export const ROW = {
  topology: {
    id: uuid, name: str, mode: value('unihost', 'agent'), target_host: maybe(str), status: value(...STATUS), version: int, needs_resync: bool,
    created_at: time, status_changed_at: time, email_personas: value('[]'), language_default: value('en'),
  },
  lan: { id: uuid, topology_id: uuid, name: str, subnet: is('a CIDR', (v) => /^\d+\.\d+\.\d+\.\d+\/\d+$/.test(v)), is_dmz: bool, x: maybe(num), y: maybe(num) },
  decky: {
    uuid, topology_id: uuid, name: str, services: listOf(str),
    decky_config: { name: str, archetype: maybe(str), forwards_l3: bool, ips_by_lan: object, service_config: object },
    home_lan_id: maybe(uuid), ip: maybe(str), state: value('pending', 'running', 'failed', 'torn_down', 'degraded', 'tearing_down', 'teardown_failed'),
    last_error: maybe(str), endpoints: listOf(endpoint), x: maybe(num), y: maybe(num),
  },
  edge: { id: uuid, topology_id: uuid, decky_uuid: uuid, lan_id: uuid, ip: str, is_bridge: bool, forwards_l3: bool },
  mutation: {
    id: uuid, topology_id: uuid, op: str, payload: object, state: value('pending', 'applying', 'applied', 'failed', 'cancelled'),
    requested_at: time, applied_at: maybe(time), reason: maybe(str),
  },
  statusEvent: { id: uuid, topology_id: uuid, from_status: value(...STATUS), to_status: value(...STATUS), at: time, reason: maybe(str) },
  issue: { severity: value('error', 'warning'), code: is('a code', (v) => /^[A-Z_]+$/.test(v)), message: str, target: object },
};
export const detail = { topology: ROW.topology, lans: listOf(ROW.lan), deckies: listOf(ROW.decky), edges: listOf(ROW.edge) };
