// SPDX-License-Identifier: Apache-2.0
// The browser of the distribution, without a window.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const path = process.env.CHROMIUM ?? '/usr/bin/chromium';

export const skipWithoutBrowser = existsSync(path) ? false : `no browser at ${path}`;

export async function launch() {
  return chromium.launch({
    executablePath: path,
    headless: false, // the flag below asks for the new headless mode
    args: [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
}

/** A page that collects what went wrong in it: script errors, and whatever the content policy refused. */
export async function openPage(browser, base, options = {}) {
  const context = await browser.newContext({ ...options, baseURL: base, viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const problems = [];

  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) problems.push(message.text());
  });
  page.setDefaultTimeout(15_000);
  return { context, page, problems };
}
