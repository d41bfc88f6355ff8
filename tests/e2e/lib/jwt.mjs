// SPDX-License-Identifier: Apache-2.0
// Tokens signed by hand, good ones and every kind of forgery.
import { createHmac } from 'node:crypto';

export const b64 = (x) => Buffer.from(typeof x === 'string' || Buffer.isBuffer(x) ? x : JSON.stringify(x)).toString('base64url');

/** head and claims are objects or their text; `hash` signs, `secret` is the key. */
export function sign(head, claims, secret, hash = 'sha256') {
  const text = `${b64(head)}.${b64(claims)}`;
  return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`;
}

export const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

const HEAD = { alg: 'HS256', typ: 'JWT' };

function without(object, key) {
  const copy = { ...object };
  delete copy[key];
  return copy;
}

/** [name, token] of every token that must be refused; `good` is one that is accepted, `secret` its key. */
export function forgeries(good, secret) {
  const claims = claimsOf(good);
  const now = Date.now() / 1000;
  const [head, body, mac] = good.split('.');
  const flipped = (text, i) => text.slice(0, i) + (text[i] === 'A' ? 'B' : 'A') + text.slice(i + 1);
  const rows = [];
  const add = (name, token) => rows.push([name, token]);
  const claim = (name, value) => add(`${name} is ${JSON.stringify(value)}`, sign(HEAD, { ...claims, [name]: value }, secret));

  for (const alg of ['none', 'None', 'NONE', 'nOnE', '', null, 0, true, ['HS256'], { HS256: 1 }, 'RS256', 'ES256', 'PS256', 'EdDSA', 'HS384', 'HS512', 'hs256', 'Hs256', 'HS256 ', ' HS256', 'HS256\0', 'HS256\0none']) {
    add(`alg ${JSON.stringify(alg)}, no signature`, `${b64({ alg, typ: 'JWT' })}.${body}.`);
    add(`alg ${JSON.stringify(alg)}, two parts`, `${b64({ alg, typ: 'JWT' })}.${body}`);
    add(`alg ${JSON.stringify(alg)}, the old signature`, `${b64({ alg, typ: 'JWT' })}.${body}.${mac}`);
    add(`alg ${JSON.stringify(alg)}, signed with SHA-256`, sign({ alg, typ: 'JWT' }, claims, secret));
  }
  add('HS384 signed as it says', sign({ alg: 'HS384', typ: 'JWT' }, claims, secret, 'sha384'));
  add('HS512 signed as it says', sign({ alg: 'HS512', typ: 'JWT' }, claims, secret, 'sha512'));
  add('HS256 signed with SHA-512', sign(HEAD, claims, secret, 'sha512'));
  add('a head without alg', sign({ typ: 'JWT' }, claims, secret));
  add('an empty head', sign({}, claims, secret));
  add('a head that is a list', sign([HEAD], claims, secret));
  add('a head that is no JSON', sign('{alg:HS256}', claims, secret));
  add('a head with two algs', sign('{"alg":"HS256","alg":"none","typ":"JWT"}', claims, secret));
  add('a head with two algs, ours last', sign('{"alg":"none","alg":"HS256","typ":"JWT"}', claims, secret));
  add('a head of another type', sign({ alg: 'HS256', typ: 'JWE' }, claims, secret));
  add('a head with crit', sign({ ...HEAD, crit: ['exp'] }, claims, secret));
  for (const key of ['', 'secret', secret.slice(0, -1), `${secret}x`, secret.toUpperCase(), '\0'.repeat(32)]) add(`another key (${key.length} characters)`, sign(HEAD, claims, key));

  for (const name of ['uuid', 'jti', 'iat', 'exp', 'iss', 'aud', 'typ']) {
    add(`without ${name}`, sign(HEAD, without(claims, name), secret));
    for (const value of [null, true, '', [], {}, [claims[name]], { is: claims[name] }]) claim(name, value);
  }
  for (const name of ['uuid', 'jti', 'iss', 'aud', 'typ']) claim(name, `${claims[name]}\0more`);
  for (const [name, values] of Object.entries({
    uuid: [7, 'admin', claims.uuid.toUpperCase(), claims.uuid.replaceAll('-', ''), `${claims.uuid} `, '00000000-0000-0000-0000-000000000000', "' OR 1=1 --"],
    jti: [7, claims.jti.toUpperCase(), claims.jti.slice(1), `${claims.jti}0`, 'g'.repeat(32), `${claims.jti.slice(0, 31)}%`],
    iat: [String(claims.iat), -1, 1e300, now + 60, now + 3.5, claims.exp + 1],
    exp: [String(claims.exp), 0, -1, 1e300, Math.floor(now), Math.floor(now) - 3600, claims.exp + 0.5],
    iss: ['decnet ', 'Decnet', 'other', 7],
    aud: ['decnet', 'decnet-dashboard ', ['decnet-dashboard', 'x'], 7],
    typ: ['refresh', 'Access', 'access ', 7],
  })) for (const value of values) claim(name, value);
  add('claims twice', sign(HEAD, `{"uuid":"x",${JSON.stringify(claims).slice(1)}`, secret));
  add('claims that are a list', sign(HEAD, [claims], secret));
  add('claims that are a string', sign(HEAD, JSON.stringify('claims'), secret));
  add('claims that are no JSON', sign(HEAD, JSON.stringify(claims).slice(0, -1), secret));
  add('claims with bytes behind them', sign(HEAD, `${JSON.stringify(claims)}x`, secret));
  add('claims that are not UTF-8', sign(HEAD, Buffer.concat([Buffer.from(JSON.stringify(claims).slice(0, -1)), Buffer.from(',"x":"\xff"}', 'latin1')]), secret));
  add('no claims', sign(HEAD, '', secret));

  for (const n of [0, 1, head.length, head.length + 1, head.length + 1 + body.length, good.length - mac.length, good.length - 1]) if (n > 0) add(`cut after ${n}`, good.slice(0, n));
  for (let i = 0; i < good.length; i += 7) add(`byte ${i} is another`, flipped(good, i));
  add('the last byte is another', flipped(good, good.length - 1));
  add('parts in another order', `${body}.${head}.${mac}`);
  add('one more part', `${good}.${mac}`);
  add('one more dot', `${good}.`);
  add('a dot in front', `.${good}`);
  add('only dots', '..');
  add('padding', `${good}=`);
  add('blanks inside', `${head} .${body}.${mac}`);
  add('a tab behind', `${good}\tx`);
  add('standard base64', good.replaceAll('-', '+').replaceAll('_', '/') === good ? `${head}+.${body}.${mac}` : good.replaceAll('-', '+').replaceAll('_', '/'));
  add('no base64', `${head}.!${body.slice(1)}.${mac}`);
  add('no base64 signature', `${head}.${body}.!${mac.slice(1)}`);
  add('quotes', `"${good}"`);
  add('twice', `${good}, ${good}`);
  add('latin-1', `${good}\xe9`);
  add('5 KB', sign(HEAD, { ...claims, x: 'y'.repeat(5000) }, secret).slice(0, 5000));
  add('5 KB, signed', sign(HEAD, { ...claims, x: 'y'.repeat(3700) }, secret));
  return rows;
}
