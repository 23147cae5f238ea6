// A browser on the dashboard, and what must hold on every page of it.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Longest wait for something to be seen. */
const LIMIT_MS = Number(process.env.LIMIT_MS ?? 30_000);

export async function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
}

/** A visitor: a page of its own, which notes errors and requests to other servers. */
export async function visitor(browser, base) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  const wrongs = [];
  page.on('console', (message) => message.type() === 'error' && wrongs.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => wrongs.push(`page: ${error}`));
  page.on('dialog', (dialog) => {
    wrongs.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${base}/`) && !url.startsWith('data:') && !url.startsWith('blob:')) wrongs.push(`request: ${url}`);
  });
  return { page, context, wrongs };
}

/** Nothing that axe knows is wrong with the page, in both themes, and it fits where it is shown. */
export async function isSound(page, name) {
  // A view that comes in a file of its own has no heading before.
  await page.locator('h1').first().waitFor({ state: 'attached' });
  for (const theme of ['light', 'dark']) {
    await page.evaluate((theme) => (document.documentElement.dataset.theme = theme), theme);
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      const found = await violations(page);
      assert.deepEqual(found, [], `axe on ${name}, ${theme}, ${width} px`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${name} is ${over} px too wide for ${width} px`);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    if (process.env.WAYPOST_SHOTS) await page.screenshot({ path: `${process.env.WAYPOST_SHOTS}/${name}-${theme}.png` });
  }
  await page.evaluate(() => (document.documentElement.dataset.theme = 'system'));
}

async function violations(page) {
  // In a world of its own: the page's policy lets no other script in.
  const world = await page.context().newCDPSession(page);
  const { frameTree } = await world.send('Page.getFrameTree');
  const { executionContextId } = await world.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
  const run = (expression) =>
    world.send('Runtime.evaluate', { expression, contextId: executionContextId, awaitPromise: true, returnByValue: true });
  await run(axe);
  const { result, exceptionDetails } = await run(
    'axe.run(document, { resultTypes: ["violations"] }).then((found) => found.violations.map((of) => ({ id: of.id, nodes: of.nodes.map((node) => node.html.slice(0, 200) + " | " + node.failureSummary) })))',
  );
  await world.detach();
  assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
  return result.value;
}
