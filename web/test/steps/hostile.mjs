// Whatever the gateway tells, each view shows it as text: every text of every answer is made markup on its way.
import assert from 'node:assert/strict';
import { can, lanes, rates } from '../canned.mjs';
import { HOSTILE, MIA, NUMBER } from '../stage.mjs';

/** Words of the API itself, and what other requests are made of. */
const KEPT =
  /^(id|.*Ids?|cursor|.*Cursor|after|status|state|event|events|type|kind|role|why|direction|severity|timestamp|.*At|until|.*Until|from|to|breaker|order|phase|qr.*|mime.*|mediaPath|lid|phone|signature|operator|field|.*Reason|lane|route|allowed.*|hour|day)$/;

function poisoned(value, name = '') {
  if (typeof value === 'string') return KEPT.test(name) ? value : `${HOSTILE} ${value}`;
  if (Array.isArray(value)) return value.map((one) => poisoned(one, name));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, poisoned(of, name)]));
}

/** Every answer of the API, but the stream of events and the files. */
async function poison(page) {
  const is = (url) => url.pathname.includes('/api/') && !/\/(events|media)$/.test(url.pathname);
  await page.route(is, async (route) => {
    if (route.request().method() !== 'GET') return route.fallback();
    try {
      const answer = await route.fetch();
      if (!(answer.headers()['content-type'] ?? '').includes('json')) return await route.fulfill({ response: answer });
      await route.fulfill({ response: answer, json: poisoned(await answer.json()) });
    } catch {
      // The page went on to another view meanwhile.
    }
  });
  return () => page.unroute(is);
}

export async function poisoning(stage) {
  const { BASE, api, doing, noMarkup, page, phones } = stage;
  const shows = async (path, look) => {
    await page.goto(`${BASE}/#${path}`);
    await page.reload();
    await look();
    const texts = await page.evaluate(() => document.body.innerText);
    assert.ok(texts.includes('<img src=x'), `${path} shows nothing hostile`);
    await noMarkup(path);
  };
  const text = (within = page.getByRole('main')) => within.getByText('<img src=x').filter({ visible: true }).first().waitFor();
  const drawer = () => text(page.getByRole('dialog'));
  // These have ids and numbers alone: the name of the key is hostile on every page.
  const menu = () => text(page.getByRole('navigation'));
  if (!stage.wants('hostile')) return;
  const { body: sessions } = await api('GET', '/api/sessions');
  const bakery = sessions.find(({ name }) => name === 'bakery');
  const at = `/api/sessions/${bakery.id}`;
  const [chats, webhooks, batches] = await Promise.all(
    [`${at}/chats`, `${at}/webhooks`, `${at}/messages/batches`].map(async (path) => (await api('GET', path)).body),
  );
  const { body: found } = await api('GET', `${at}/messages?direction=outgoing&limit=1`);
  const { body: deliveries } = await api('GET', `/api/webhooks/${webhooks[0].id}/deliveries?limit=1`);
  const { body: approvals } = await api('GET', '/api/approvals');
  // One that was never started: its page is about linking it.
  const made = await api('POST', '/api/sessions', { name: 'hostile' });
  const views = {
    numbers: ['/numbers', text],
    pairing: [`/numbers/${made.body.id}`, text],
    number: [`/numbers/${bakery.id}`, text],
    inbox: [`/inbox/${bakery.id}/${encodeURIComponent(chats[0].id)}`, text],
    search: [`/inbox/${bakery.id}?find=cake`, () => text(page.getByRole('region', { name: 'Messages found' }))],
    approvals: ['/approvals?state=all', text],
    approval: [`/approvals?state=all&approval=${approvals[0]?.id}`, drawer],
    webhooks: ['/webhooks', text],
    webhook: [`/webhooks/${webhooks[0].id}`, text],
    delivery: [`/webhooks/${webhooks[0].id}?delivery=${deliveries.deliveries[0]?.id}`, drawer],
    message: [`/message/${bakery.id}/${found.messages[0]?.waMessageId}`, text],
    campaigns: [`/campaigns/${bakery.id}`, menu],
    'new campaign': [`/campaigns/${bakery.id}/new`, async () => {
      const buffer = Buffer.from(`phone;"${HOSTILE.replaceAll('"', '""')}"\n${MIA};"${HOSTILE.replaceAll('"', '""')}"\n`);
      await page.getByLabel('File of comma-separated values').setInputFiles({ name: 'hostile.csv', mimeType: 'text/csv', buffer });
      await page.getByLabel('Text', { exact: true }).fill(HOSTILE);
      await text(page.locator('.previews'));
    }],
    campaign: [`/campaigns/${bakery.id}/${batches[0]?.batchId}`, menu],
    plugins: ['/plugins', text],
    plugin: [`/plugins?plugin=${(await api('GET', '/api/plugins')).body[0]?.id}`, drawer],
    keys: ['/keys', text],
    audit: ['/audit', async () => {
      await text();
      await page.getByRole('table').locator('.as-link').first().click();
      await drawer();
    }],
    health: ['/health', text],
    events: ['/events', async () => {
      await page.getByText('● Live').waitFor();
      await phones(`/accounts/${MIA}/send`, { to: NUMBER, text: HOSTILE });
      await page.getByRole('button', { name: 'message.received' }).first().click();
      await drawer();
    }],
    lanes: ['/lanes', text],
  };
  const over = [await poison(page), await can(page, '/api/lanes/rates', rates), await can(page, '/api/lanes', lanes)];
  for (const [name, [path, look]] of Object.entries(views)) {
    await doing(`hostile texts stay text: ${name}`, () => shows(path, look));
  }
  for (const end of over) await end();
  await page.reload();
}
