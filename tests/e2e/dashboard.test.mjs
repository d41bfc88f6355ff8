// SPDX-License-Identifier: Apache-2.0
// The dashboard in a browser, against the real suite: what an operator sees on the first day.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Api } from './lib/api.mjs';
import { launch, openPage, skipWithoutBrowser } from './lib/browser.mjs';
import { ADMIN_PASSWORD, eventually, Suite } from './lib/suite.mjs';

const newPassword = 'second-password-of-the-tests';
const skip = skipWithoutBrowser;

let suite;
let browser;
let page;
let problems;
let api;
let demo;

before(async () => {
  if (skip) return;
  suite = await Suite.start();
  browser = await launch();
  ({ page, problems } = await openPage(browser, suite.url));
});

after(async () => {
  await browser?.close();
  await suite?.stop();
});

async function signIn(password) {
  await page.fill('[name=username]', 'admin');
  await page.fill('[name=password]', password);
  await page.click('button.primary');
}

/** The header's word on the stream of the page. */
async function connected(state) {
  await page.waitForSelector(`#connection[data-state=${state}]`, { timeout: 30_000 });
}

test('the page is served with a policy that allows nothing inline', { skip }, async () => {
  const answer = await fetch(`${suite.url}/`, { headers: { Accept: 'text/html' } });

  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-security-policy'), /default-src 'self'/);
  const html = await answer.text();
  assert.doesNotMatch(html, /<style|style=|<script(?![^>]* src=)/);
});

test('a wrong password is refused, the first one must be changed', { skip }, async () => {
  await page.goto('/');
  await signIn('not the password at all');
  assert.equal(await page.textContent('.failure p'), 'Incorrect username or password');

  await signIn(ADMIN_PASSWORD);
  await page.fill('[name=old_password]', ADMIN_PASSWORD);
  await page.fill('[name=new_password]', newPassword);
  await page.fill('[name=new_password_again]', newPassword);
  await page.click('button.primary');

  await page.waitForSelector('[name=username]');
  await signIn(newPassword);
  await page.waitForSelector('nav');
  api = await Api.login(suite.url, 'admin', newPassword);
});

test('the demo network is listed, and live with its deckies', { skip }, async () => {
  suite.cli('demo');
  demo = await api.demoTopology();
  await page.click('a:text-is("demo")');
  await page.waitForSelector('#topology-status [data-state=active]', { timeout: 30_000 });
  await connected('live');

  const { deckies } = await api.expect(200, 'GET', `/topologies/${demo.id}`);
  assert.ok(deckies.length > 0);
  for (const d of deckies) await page.waitForSelector(`[data-decky="${d.name}"][data-state=running]`);
  assert.equal(Number(await page.textContent('#decky-count')), deckies.length);
});

test('a decky added with the form appears when its mutation is applied', { skip }, async () => {
  const before = Number(await page.textContent('#topology-version'));

  await page.fill('#form-add-decky [name=name]', 'browser-01');
  await page.fill('#form-add-decky [name=services]', 'http');
  await page.click('#form-add-decky button.primary');
  await page.waitForSelector('#form-add-decky .notice');
  await page.waitForSelector('[data-finished] [data-state=applied]');
  await page.waitForSelector('[data-decky=browser-01][data-state=running]');
  assert.equal(Number(await page.textContent('#topology-version')), before + 1);
  assert.equal(await page.textContent('#queue-count'), '0');
});

test('what the server refuses is shown in its words', { skip }, async () => {
  await page.fill('#form-add-decky [name=name]', 'browser-01');
  await page.click('#form-add-decky button.primary');
  assert.equal(await page.textContent('#form-add-decky .failure p'), "decky 'browser-01' already exists");

  await page.selectOption('#form-free-op [name=op]', 'add_lan');
  await page.fill('#form-free-op [name=payload]', '{"nonsense": true}');
  await page.click('#form-free-op button.primary');
  await page.waitForSelector('#form-free-op .failure li');
  assert.match(await page.textContent('#form-free-op .failure'), /payload\.nonsense/);
});

async function decoyEndpoint(service) {
  return eventually('an endpoint of the new decky', async () => {
    const { deckies } = await api.expect(200, 'GET', `/topologies/${demo.id}`);
    return deckies.find((d) => d.name === 'browser-01')?.endpoints.find((e) => e.service === service);
  });
}

test('an attacker and an identity appear without a reload', { skip }, async () => {
  const { address, port } = await decoyEndpoint('http');

  await page.click('nav a:text-is("Identities")');
  await connected('live');
  const identities = Number(await page.textContent('#identity-count'));
  await fetch(`http://${address}:${port}/wp-login.php`, { headers: { 'User-Agent': 'probe/1.0' } });
  const row = await page.waitForSelector('[data-identity]');
  assert.ok(Number(await page.textContent('#identity-count')) >= Math.max(identities, 1));

  const uuid = await row.getAttribute('data-identity');
  await page.click(`[data-identity="${uuid}"] a`);
  await page.waitForSelector('[data-attacker="127.0.0.1"]');

  await page.click('nav a:text-is("Attackers")');
  const events = async () => Number(await page.textContent('[data-attacker="127.0.0.1"] td.num'));
  await page.waitForSelector('[data-attacker="127.0.0.1"]');
  const seen = await events();
  await fetch(`http://${address}:${port}/`, { headers: { 'User-Agent': 'probe/1.0' } });
  await eventually('the event count to rise in the page', async () => (await events()) > seen);

  const { body } = await api.get('/attackers');
  await eventually('page and REST to agree', async () => (await events()) === (await api.get('/attackers')).body.data[0].event_count);
  assert.equal(body.data[0].ip, '127.0.0.1');
});

test('the connection is lost, found and resumed when the API is killed', { skip }, async () => {
  await page.goto(`/#/topologies/${demo.id}`);
  await connected('live');
  const resumes = Number(await page.getAttribute('#connection', 'data-resumes'));

  const lost = connected('lost');
  await suite.kill('decnet-api');
  await lost;
  await suite.ready();
  await connected('live');
  assert.equal(Number(await page.getAttribute('#connection', 'data-resumes')), resumes + 1);

  // And it is live indeed: a change made elsewhere arrives.
  await api.expect(202, 'POST', `/topologies/${demo.id}/mutations`, { op: 'remove_decky', payload: { decky: 'browser-01' } });
  await page.waitForSelector('[data-decky=browser-01]', { state: 'detached' });
});

/** Deckies as the page shows them and as REST tells them: name and state. */
async function shownDeckies() {
  return page.$$eval('[data-decky]', (cards) => cards.map((c) => `${c.dataset.decky} ${c.dataset.state}`).sort());
}

async function toldDeckies() {
  const { deckies } = await api.expect(200, 'GET', `/topologies/${demo.id}`);
  return deckies.map((d) => `${d.name} ${d.state}`).sort();
}

test('a burst of changes, the API killed in its midst: the page ends up with what REST tells', { skip }, async () => {
  const enqueue = (op, payload) => api.expect(202, 'POST', `/topologies/${demo.id}/mutations`, { op, payload });
  const { lans } = await api.expect(200, 'GET', `/topologies/${demo.id}`);

  for (let i = 0; i < 6; i++) await enqueue('add_decky', { name: `burst-${i}`, lan: lans[0].name, services: ['telnet'] });
  await suite.kill('decnet-api');
  await suite.ready();
  for (const i of [1, 4]) await enqueue('remove_decky', { decky: `burst-${i}` });
  await enqueue('update_decky', { decky: 'burst-2', services: ['redis', 'telnet'] });
  await eventually('the queue to be empty', async () => {
    const pending = await api.expect(200, 'GET', `/topologies/${demo.id}/mutations?state=pending`);
    const applying = await api.expect(200, 'GET', `/topologies/${demo.id}/mutations?state=applying`);
    return pending.total + applying.total === 0;
  }, 60_000);

  const told = await toldDeckies();
  assert.equal(told.filter((d) => d.startsWith('burst-')).length, 4);
  await connected('live');
  await eventually('the page to show it', async () => (await shownDeckies()).join() === told.join());
  await page.waitForSelector('[data-decky=burst-2] .chips li:text-is("redis")');
  const { topology } = await api.expect(200, 'GET', `/topologies/${demo.id}`);
  assert.equal(Number(await page.textContent('#topology-version')), topology.version);
});

test('the log follows its filter', { skip }, async () => {
  const { deckies } = await api.expect(200, 'GET', `/topologies/${demo.id}`);
  const { address, port } = deckies.find((d) => d.name === 'burst-2').endpoints.find((e) => e.service === 'redis');

  await page.click('nav a:text-is("Log")');
  await page.fill('[name=search]', 'service:redis event:connect');
  await page.click('form[role=search] button.primary');
  await connected('live');
  const rows = await page.locator('[data-log]').count();
  await new Promise((resolve, reject) => {
    const socket = net.connect(port, address, () => socket.end('QUIT\r\n'));
    socket.on('error', reject);
    socket.on('close', resolve);
    socket.resume();
  });
  await page.waitForFunction((n) => document.querySelectorAll('[data-log]').length > n, rows);
  for (const event of await page.$$eval('[data-log] td:nth-child(4)', (cells) => cells.map((c) => c.textContent)))
    assert.equal(event, 'connect');
});

test('a viewer sees everything and is offered no change', { skip }, async () => {
  const eve = await api.user('eve', 'viewer');
  const other = await openPage(browser, suite.url);

  await other.page.goto('/');
  await other.page.evaluate((token) => sessionStorage.setItem('decnet.token', token), eve.token);
  await other.page.goto(`/#/topologies/${demo.id}`);
  await other.page.reload();
  await other.page.waitForSelector('[data-decky]');
  await other.page.waitForSelector('#connection[data-state=live]');
  assert.equal(await other.page.locator('main form, main button').count(), 0);

  // Access ends when it ends, and the page says so.
  const { users } = await api.expect(200, 'GET', '/config');
  await api.expect(200, 'DELETE', `/config/users/${users.find((u) => u.username === 'eve').uuid}`);
  await other.page.waitForSelector('#connection[data-state=ended][data-reason=revoked]');
  await other.page.click('button:text-is("Sign in again")');
  await other.page.waitForSelector('[name=username]');
  assert.deepEqual(other.problems, []);
  await other.context.close();
});

test('signing out ends the session on the server too', { skip }, async () => {
  const token = await page.evaluate(() => sessionStorage.getItem('decnet.token'));

  await page.click('button:text-is("Sign out")');
  await page.waitForSelector('[name=username]');
  await eventually('the token to be refused', async () => (await new Api(suite.url, token).get('/config')).status === 401);
});

test('no script error, nothing refused by the policy', { skip }, () => {
  assert.deepEqual(problems, []);
});
