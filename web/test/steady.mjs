// The page's memory stays flat while events come: node test/steady.mjs [minutes, by default 10] [events in a second, by default 50]
// It needs a gateway on a simulated network, as dashboard.mjs does: BASE, KEY, PHONES. What is measured is the heap of
// JavaScript after a collection, and how many nodes and listeners there are, always on the same view.
import assert from 'node:assert/strict';
import { launch, visitor } from './browser.mjs';

const { BASE, KEY, PHONES } = process.env;
const minutes = Number(process.argv[2] ?? 10);
const perSecond = Number(process.argv[3] ?? 50);
const NUMBER = '4915550009000';
const PEOPLE = 10;
/** Views that are looked at in turn; each measurement is on the first. */
const VIEWS = ['events', 'numbers', 'inbox', 'lanes', 'webhooks', 'health'];
const VIEW_MS = 1000;
/** Until the page holds as many events as it ever will, and each view was seen. */
const WARM_MS = 20_000;
/** Collections of one measurement, and the time between two. */
const COLLECTIONS = 5;
const COLLECTION_MS = 200;
const GROWTH_MAX = 1.05;
const GROWTH_BYTES = 512 * 1024;
const NODES_MAX = 1.25;
/** The nodes and listeners of one view: the browser may still hold the one that was left last. One for each round would be many more. */
const NODES_OF_A_VIEW = 350;
const LISTENERS_OF_A_VIEW = 75;

async function ask(base, method, path, body) {
  const headers = { 'content-type': 'application/json', 'x-api-key': KEY };
  const answer = await fetch(`${base}${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}
const phones = (path, body) => ask(PHONES, 'POST', path, body);
const api = (method, path, body) => ask(BASE, method, path, body);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(session, status) {
  for (const began = Date.now(); ; await pause(100)) {
    const { status: now, lastError } = await api('GET', `/api/sessions/${session}`);
    if (now === status) return;
    assert.ok(Date.now() - began < 60_000, `${now}, not ${status}: ${lastError}`);
  }
}

async function link() {
  await phones('/accounts', { phone: NUMBER, name: 'Steady' });
  const { id } = await api('POST', '/api/sessions', { name: 'steady' });
  await api('POST', `/api/sessions/${id}/start`);
  await until(id, 'qr_ready');
  const { pairingCode } = await api('POST', `/api/sessions/${id}/pairing-code`, { phoneNumber: NUMBER });
  await phones(`/accounts/${NUMBER}/enter-code`, { code: pairingCode.replace(/\W/g, '') });
  await until(id, 'ready');
  return id;
}

/** People who write, together so many messages in a second, until they are stopped. */
async function talk() {
  const people = Array.from({ length: PEOPLE }, (_, at) => `49170900000${String(at).padStart(2, '0')}`);
  for (const phone of people) await phones('/accounts', { phone, name: `Guest ${phone}` });
  const told = { count: 0, late: 0, failed: undefined, stop: false };
  const write = async (phone, at) => {
    const every = (1000 * PEOPLE) / perSecond;
    for (let next = performance.now() + (at * every) / PEOPLE; !told.stop; next += every) {
      const wait = next - performance.now();
      if (wait > 0) await pause(wait);
      else if (wait < -1000) told.late++;
      await phones(`/accounts/${phone}/send`, { to: NUMBER, text: `${told.count} ${'word '.repeat(20)}` });
      told.count++;
    }
  };
  const all = people.map((phone, at) => write(phone, at).catch((error) => (told.failed = error)));
  return { told, end: () => ((told.stop = true), Promise.all(all)) };
}

/** The least that is left by several collections: what a view that was left behind still holds for a moment is no growth. */
async function measure(devtools) {
  const least = { bytes: Infinity, nodes: Infinity, listeners: Infinity };
  for (let time = 0; time < COLLECTIONS; time++) {
    await devtools.send('HeapProfiler.collectGarbage');
    const { usedSize } = await devtools.send('Runtime.getHeapUsage');
    const { nodes, jsEventListeners } = await devtools.send('Memory.getDOMCounters');
    least.bytes = Math.min(least.bytes, usedSize);
    least.nodes = Math.min(least.nodes, nodes);
    least.listeners = Math.min(least.listeners, jsEventListeners);
    await pause(COLLECTION_MS);
  }
  return least;
}

/** The least of the second half is not more than that of the first, but for what chance makes. */
function isFlat(name, values, times, spare) {
  const half = Math.ceil(values.length / 2);
  const [first, last] = [Math.min(...values.slice(0, half)), Math.min(...values.slice(half))];
  console.log(`${name}: ${Math.round(first)} at first, ${Math.round(last)} in the end: ${values.map(Math.round).join(' ')}`);
  assert.ok(last <= first * times + spare, `${name} grows`);
}

const browser = await launch();
try {
  const session = await link();
  const { page, context, wrongs } = await visitor(browser, BASE);
  await page.goto(`${BASE}/`);
  await page.getByLabel('API key').fill(KEY);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('link', { name: 'steady' }).waitFor();
  const devtools = await context.newCDPSession(page);
  const { told, end } = await talk();
  const began = performance.now();
  const measured = [];
  const span = minutes * 60_000;
  while (performance.now() - began < WARM_MS + span) {
    for (const view of VIEWS) {
      await page.evaluate((hash) => (location.hash = hash), view === 'inbox' ? `#/inbox/${session}` : `#/${view}`);
      await pause(VIEW_MS);
    }
    await page.evaluate(() => (location.hash = '#/events'));
    await page.getByRole('heading', { name: 'Live events' }).waitFor();
    await pause(VIEW_MS);
    const now = await measure(devtools);
    if (performance.now() - began > WARM_MS) measured.push(now);
  }
  const seconds = (performance.now() - began) / 1000;
  await end();
  assert.equal(told.failed, undefined, String(told.failed));
  console.log(`${told.count} messages in ${Math.round(seconds)} s: ${(told.count / seconds).toFixed(1)} in a second`);
  assert.ok(told.count / seconds > perSecond * 0.8, 'the gateway is too slow here for this rate');
  isFlat('heap in bytes', measured.map(({ bytes }) => bytes), GROWTH_MAX, GROWTH_BYTES);
  isFlat('nodes', measured.map(({ nodes }) => nodes), NODES_MAX, NODES_OF_A_VIEW);
  isFlat('listeners', measured.map(({ listeners }) => listeners), NODES_MAX, LISTENERS_OF_A_VIEW);
  assert.deepEqual(wrongs, []);
  console.log('the memory stays flat');
} finally {
  await browser.close();
}
