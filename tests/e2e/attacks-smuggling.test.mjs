// SPDX-License-Identifier: Apache-2.0
// The same bytes to decnet, to a real nginx, and through that nginx to decnet: nobody sees a request that the other does not.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Nginx } from './lib/nginx.mjs';
import { exchange } from './lib/raw.mjs';
import { MARK, rows } from './lib/smuggling.mjs';
import { eventually, Suite } from './lib/suite.mjs';

let suite, nginx;

before(async () => {
  // One worker: its log is in the order of what it did.
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false', DECNET_API_WORKERS: '1' });
  nginx = await Nginx.start(suite.port);
});

after(async () => {
  await nginx?.stop();
  await suite?.stop();
});

const send = (port, path, text) => exchange(port, text.replaceAll('@@@@@', path), { deadlineMs: 40000 });
const named = (text, path) => [...text.matchAll(new RegExp(`/${path}/(\\w+)`, 'g'))].map((m) => m[1]);

/** Besides 400: no such method, no such resource on a route that there is, a body over the ceiling. */
const refused = (status, target) => ['405', '413'].includes(status) || (status === '404' && target.includes('/topologies/'));

/** The requests that decnet has read below a path, in order; all of them, since the last line of the log is known. */
async function read(path) {
  await exchange(suite.port, `GET /${path}/end HTTP/1.1\r\nHost: a\r\n\r\n`);
  await eventually('the log has caught up', () => suite.log.includes(`/${path}/end`));
  const lines = suite.log.split('\n').filter((l) => l.includes('api.request') && l.includes(`/${path}/`));
  const found = lines.map((l) => ({ name: named(l, path)[0], refused: refused(/ status=(\d+)/.exec(l)[1], l) }));
  return found.filter((r) => r.name !== 'end');
}

/** What nginx has passed on below a path, and with which answer. */
async function passed(path) {
  const rowsOf = () => nginx.log().filter((l) => l.request.includes(`/${path}/`));
  await exchange(nginx.port, `GET /${path}/end HTTP/1.1\r\nHost: a\r\n\r\n`);
  await eventually('the log of nginx has caught up', () => rowsOf().some((l) => l.request.includes(`/${path}/end`)));
  return rowsOf().flatMap((l) => named(l.request, path).slice(0, 1).map((name) => ({ name, passed: l.passed }))).filter((r) => r.name !== 'end' && r.passed !== '');
}

let n = 0;
for (const [name, text, stricter] of rows) {
  const id = `r${String(++n).padStart(3, '0')}`;
  test(name, async () => {
    const answers = await send(suite.port, `${id}d`, text + MARK);
    assert.equal(answers.rest, '', 'answers are whole');
    for (const a of answers) {
      assert.ok([100, 400, 401, 404, 405, 413].includes(a.status), `an answer of the contract: ${a.status}`);
      if (a.status === 400) assert.deepEqual(a.json, { detail: 'Malformed HTTP request' });
    }
    assert.ok(answers.slice(0, -1).every((a) => a.status !== 400), 'nothing is answered behind a 400');
    const seen = await read(`${id}d`);
    assert.equal(seen.length, answers.filter((a) => ![100, 400].includes(a.status)).length, 'each answer is a request of the log');
    // Behind a refusal that leaves no doubt where the request ends, decnet goes on; nginx does not always.
    const goesOn = seen.some((r) => r.refused);
    const direct = seen.filter((r) => !r.refused && !(goesOn && r.name === 'mark')).map((r) => r.name);

    await send(nginx.port, `${id}p`, text + MARK);
    const through = await passed(`${id}p`);
    const behind = await read(`${id}p`);
    assert.deepEqual(behind.map((r) => r.name), through.filter((r) => r.passed !== '400').map((r) => r.name), 'behind nginx: a request for each that it passed on');

    const taken = through.map((r) => r.name);
    const lax = direct.filter((r) => !taken.includes(r));
    assert.deepEqual(lax, [], `decnet serves what nginx refuses (nginx: ${taken}; decnet: ${direct})`);
    if (stricter) assert.ok(direct.length < taken.length, `no longer stricter than nginx: ${direct} / ${taken}`);
    else assert.deepEqual(direct, taken, 'stricter than nginx, without a reason in the table');
  });
}

test('a body that would be over the ceiling is not read, whatever the route answers, and nothing behind it is', async () => {
  const body = `fffffffffffffff\r\nhello\r\n0\r\n\r\n${MARK}`;
  for (const [path, status] of [['/api/v1/auth/login', 413], ['/api/v1/config/users', 401], ['/unknown', 404]]) {
    for (const framing of ['Transfer-Encoding: chunked', 'Content-Length: 1048577']) {
      const answers = await exchange(suite.port, `POST ${path} HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n${body}`);
      assert.deepEqual(answers.map((a) => a.status), [status], `${path} ${framing}`);
      assert.equal(answers[0].headers.get('connection'), 'close');
    }
  }
});
