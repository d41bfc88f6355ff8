// SPDX-License-Identifier: Apache-2.0
// Visitors of decoys send HTML and script, an admin names things so: in the dashboard it is text, and nothing of it runs.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { launch, openPage, skipWithoutBrowser } from './lib/browser.mjs';
import { bytes } from './lib/raw.mjs';
import { eventually, Suite } from './lib/suite.mjs';

const skip = skipWithoutBrowser;
const HOSTILE = [
  '<img src=x onerror=pwned()>', '<script>pwned()</script>', '"><svg/onload=pwned()>', "'-pwned()-'", '${pwned()}', '{{constructor.constructor("pwned()")()}}', 'javascript:pwned()', '</title><script>pwned()</script>',
  '<a href=javascript:pwned()>x</a>', '<iframe srcdoc="<script>parent.pwned()</script>">', '<style>*{display:none}</style>', '\u202egnp.exe', '<base href=//evil.example>', '<meta http-equiv=refresh content="0;url=//evil.example">',
];
let suite, browser, page, problems, context, admin, demo, named;

before(async () => {
  if (skip) return;
  suite = await Suite.start({ DECNET_LIMITER_ENABLED: 'false' });
  suite.cli('demo');
  admin = await Api.admin(suite);
  demo = await admin.demoTopology();
  await eventually('the demo is active', async () => (await admin.get(`/topologies/${demo.id}`)).body.topology.status === 'active');
  browser = await launch();
  ({ page, problems, context } = await openPage(browser, suite.url));
  await page.goto('/');
  await page.evaluate((token) => sessionStorage.setItem('decnet.token', token), admin.token);
});

after(async () => {
  await browser?.close();
  await suite?.stop();
});

function send(where, text) {
  return new Promise((good, bad) => {
    const s = net.connect(where.port, where.address, () => s.end(bytes(text)));
    s.on('error', bad);
    s.on('close', good);
    s.resume();
  });
}

/** What the page would not do by itself. */
const harm = () =>
  page.evaluate(() => ({
    ran: window.pwned_count ?? 0,
    elements: [...document.querySelectorAll('img[src="x"], svg[onload], iframe, base, meta[http-equiv=refresh], script:not([src]), body style')].map((e) => e.outerHTML.slice(0, 80)),
    handlers: [...document.querySelectorAll('*')].flatMap((e) => [...e.attributes].filter((a) => /^on/i.test(a.name) || /^\s*javascript:/i.test(a.value)).map((a) => `${e.tagName} ${a.name}=${a.value}`)),
    text: document.body.innerText,
    at: location.origin,
  }));

test('what visitors send is on the log, the attacker, the identity and the streams as text', { skip, timeout: 120000 }, async () => {
  await page.addInitScript(() => {
    window.pwned_count = 0;
    window.pwned = () => window.pwned_count++;
  });
  const { deckies } = await admin.expect(200, 'GET', `/topologies/${demo.id}`);
  const at = (service) => deckies.flatMap((d) => d.endpoints).find((e) => e.service === service);
  // Before: what the page has open is told live, too.
  await page.goto('/#/log');
  await page.reload();
  await page.waitForSelector('#connection[data-state=live]');
  for (const text of HOSTILE) {
    const utf8 = Buffer.from(text);
    await send(at('http'), ['GET /', encodeURI(text).replace(/[<>"]/g, ''), ' HTTP/1.1\r\nHost: ', 'x\r\nUser-Agent: ', utf8, '\r\nAuthorization: Basic ', Buffer.concat([utf8, Buffer.from(':'), utf8]).toString('base64'), '\r\nConnection: close\r\n\r\n']);
    await send(at('redis'), ['*3\r\n$3\r\nSET\r\n$1\r\na\r\n$', String(utf8.length), '\r\n', utf8, '\r\n*1\r\n$4\r\nQUIT\r\n']);
  }
  await eventually('all is taken in', async () => {
    const { body } = await admin.get('/logs?limit=1000');
    return HOSTILE.every((t) => body.data.some((l) => JSON.stringify(l).includes(JSON.stringify(t).slice(1, -1).replaceAll('\\', '\\\\')) || l.fields.includes(JSON.stringify(t).slice(1, -1))));
  }, 30000);
  const attacker = (await admin.get('/attackers')).body.data[0];
  const identity = (await admin.get('/identities')).body.data[0];
  const seen = [];
  for (const hash of ['#/log', '#/attackers', `#/attackers/${attacker.uuid}`, '#/identities', `#/identities/${identity.uuid}`, `#/topologies/${demo.id}`]) {
    await page.goto(`/${hash}`);
    await page.reload();
    await page.waitForSelector('#connection[data-state=live]');
    await page.waitForSelector('main table, main ul, main dl');
    const found = await harm();
    assert.deepEqual({ ran: found.ran, elements: found.elements, handlers: found.handlers }, { ran: 0, elements: [], handlers: [] }, hash);
    assert.equal(found.at, suite.url, hash);
    seen.push(found.text);
  }
  assert.ok(seen.some((t) => t.includes('<img src=x onerror=pwned()>')), 'it is shown, as text');
  assert.deepEqual(problems, [], 'and the policy had nothing to refuse');
});

test('names of topologies and users are text, too', { skip, timeout: 120000 }, async () => {
  named = await admin.expect(201, 'POST', '/topologies/blank', { name: '<img src=x onerror=pwned()>' });
  await admin.expect(200, 'POST', '/config/users', { username: '<script>pwned()</script>', password: 'password-number-one' });
  for (const hash of ['#/topologies', `#/topologies/${named.id}`, '#/account', '#/']) {
    await page.goto(`/${hash}`);
    await page.reload();
    await page.waitForSelector('nav');
    const found = await harm();
    assert.deepEqual({ ran: found.ran, elements: found.elements, handlers: found.handlers }, { ran: 0, elements: [], handlers: [] }, hash);
  }
  await page.goto(`/#/topologies/${named.id}`);
  await page.waitForFunction(() => document.body.innerText.includes('<img src=x onerror=pwned()>'));
  assert.deepEqual(problems, []);
});

test('the page cannot be framed, and takes no token from its address', { skip }, async () => {
  const frame = await context.newPage();
  await frame.setContent(`<iframe src="${suite.url}/"></iframe>`, { waitUntil: 'load' });
  const inner = frame.frames().find((f) => f !== frame.mainFrame());
  assert.ok(!inner || !(await inner.content().catch(() => '')).includes('id="app"'), 'nothing is shown in a frame');
  await frame.close();
  const fresh = await browser.newContext({ baseURL: suite.url });
  const p = await fresh.newPage();
  await p.goto(`/?token=${admin.token}#/topologies`);
  await p.waitForSelector('[name=username]');
  assert.equal(await p.evaluate(() => Object.keys(localStorage).length), 0, 'nothing outlives the tab');
  await fresh.close();
});
