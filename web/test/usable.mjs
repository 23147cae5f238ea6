// How long each view takes until it can be used, in the browser: node test/usable.mjs. It needs a gateway with a large ledger, which
// `cargo xtask bench dashboard` makes: BASE, KEY, SESSION (with messages), WEBHOOK (with deliveries), CHAT. A line of JSON for each view.
import assert from 'node:assert/strict';
import { launch, visitor } from './browser.mjs';

const { BASE, KEY, SESSION, WEBHOOK, CHAT, JSON_LINES } = process.env;
const ROUNDS = 5;
/** Where each view is come from: a small one, with another heading than all that are measured. */
const AWAY = '/keys';
/** What of each view is there when it can be used, beside its heading. */
const ROW = 'table tbody tr, [role="row"], li';
const VIEWS = [
  ['numbers', '/numbers', ROW],
  ['a number', `/numbers/${SESSION}`, 'dl'],
  ['inbox', `/inbox/${SESSION}`, ROW],
  ['thread', `/inbox/${SESSION}/${encodeURIComponent(CHAT)}`, ROW],
  ['webhooks', '/webhooks', ROW],
  ['a webhook', `/webhooks/${WEBHOOK}`, ROW],
  ['lanes', '/lanes', ROW],
  ['campaigns', `/campaigns/${SESSION}`, 'h1'],
  ['events', '/events', 'h1'],
  ['audit', '/audit', ROW],
  ['plugins', '/plugins', 'h1'],
  ['health', '/health', 'dl, table'],
];

/** Runs in the page: milliseconds from the change of the address to the frame that shows a heading, what is asked for, and nothing
 * that still waits. */
function usable([hash, what]) {
  const before = document.querySelector('main h1');
  const began = performance.now();
  location.hash = `#${hash}`;
  return new Promise((done) => {
    const look = () => {
      const main = document.querySelector('main');
      const heading = main?.querySelector('h1');
      const there = heading && heading !== before && main.querySelector(what) && !main.querySelector('.waiting');
      if (there) requestAnimationFrame(() => done(performance.now() - began));
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}

const within = (promise, name) =>
  Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`${name} is never usable`)), 30_000).unref())]);

const browser = await launch();
try {
  const { page, wrongs } = await visitor(browser, BASE);
  await page.goto(`${BASE}/`);
  await page.getByLabel('API key').fill(KEY);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.locator('main h1').waitFor();
  for (const [name, path, what] of VIEWS) {
    const times = [];
    for (let round = 0; round < ROUNDS; round++) {
      await within(page.evaluate(usable, [AWAY, 'h1']), AWAY);
      times.push(await within(page.evaluate(usable, [path, what]), name));
    }
    times.sort((one, other) => one - other);
    const [median, worst] = [times[ROUNDS >> 1], times[ROUNDS - 1]].map((ms) => Math.round(ms));
    if (JSON_LINES) console.log(JSON.stringify({ name: `dashboard.usable.${name}`, unit: 'ms', median, max: worst }));
    else console.log(`${name.padEnd(12)} usable after ${String(median).padStart(5)} ms, at most ${String(worst).padStart(5)} ms`);
  }
  // What only the whole program serves is not there.
  assert.deepEqual(wrongs.filter((wrong) => !wrong.includes('501')), []);
} finally {
  await browser.close();
}
