// The dashboard in a browser, on the real program and a simulated WhatsApp. The Rust test `dashboard` starts all of it
// and names it: BASE (the gateway), KEY (an admin key), LINK (a login link), PHONES (the control surface of the
// simulated network).
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import jsQR from 'jsqr';
import { isSound, launch, visitor } from './browser.mjs';

const { BASE, KEY, LINK, PHONES } = process.env;
const NUMBER = '4915550001000';
const MIA = '4917012345678';
const HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>';

const json = { 'content-type': 'application/json' };
async function phones(path, body) {
  const answer = await fetch(`${PHONES}${path}`, { method: 'POST', headers: json, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
}

/** A receiver that can be broken; what it answers when it is broken is markup. */
const receiver = { status: 200, heard: [] };
const server = createServer((asked, answer) => {
  let body = '';
  asked.on('data', (part) => (body += part));
  asked.on('end', () => {
    receiver.heard.push({ headers: asked.headers, body: JSON.parse(body) });
    answer.writeHead(receiver.status, { 'content-type': 'text/html' }).end(receiver.status === 200 ? 'ok' : HOSTILE);
  });
});
await new Promise((listens) => server.listen(0, '127.0.0.1', listens));
const hook = `http://127.0.0.1:${server.address().port}/hook`;

const browser = await launch();
const { page, context, wrongs } = await visitor(browser, BASE);
const seen = (text, options = {}) => page.getByText(text, { exact: true, ...options }).first().waitFor();
const press = (name, within = page) => within.getByRole('button', { name, exact: true }).first().click();
const menu = (name) => page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
const heading = (name) => page.getByRole('heading', { name, exact: true, level: 1 }).waitFor();

let step = '';
async function doing(name, work) {
  step = name;
  const began = performance.now();
  await work();
  assert.deepEqual(wrongs, [], name);
  console.log(`${name}: ${Math.round(performance.now() - began)} ms`);
}

/** What the code on the screen says, read from its picture. */
async function readQr() {
  const picture = page.getByAltText('QR code that links a phone');
  await picture.waitFor();
  const { data, width, height } = await picture.evaluate(async (image) => {
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
    return { data: [...pixels.data], width: pixels.width, height: pixels.height };
  });
  const found = jsQR(Uint8ClampedArray.from(data), width, height);
  assert.ok(found, 'the picture is no QR code');
  return found.data;
}

const noMarkup = async (about) => {
  assert.equal(await page.locator('img[src="x"]').count(), 0, `${about}: markup became an element`);
};

try {
  await doing('a wrong key is refused', async () => {
    await page.goto(`${BASE}/`);
    await heading('Waypost');
    await isSound(page, 'login');
    await page.getByLabel('API key').fill('owa_k1_wrong');
    await press('Log in');
    await seen('Invalid API key');
    // The browser itself notes the refusal.
    assert.equal(wrongs.splice(0).length, 1);
  });

  await doing('a link logs in once, and leaves the address', async () => {
    await page.goto(LINK);
    await page.reload();
    await heading('Numbers');
    assert.ok(!page.url().includes('login='), page.url());
    const [cookie] = await context.cookies();
    assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite], ['waypost_session', true, 'Strict']);
    await press('Log out');
    await page.goto(LINK);
    await page.reload();
    await seen('This link was used already, or its ten minutes are over.');
    assert.equal(wrongs.splice(0).length, 1);
  });

  await doing('a key logs in', async () => {
    await page.getByLabel('API key').fill(KEY);
    await press('Log in');
    await seen('No number is linked yet');
    await isSound(page, 'first-run');
  });

  await doing('a number is linked by its QR code', async () => {
    await phones('/accounts', { phone: NUMBER, name: HOSTILE });
    await press('Link a number');
    await page.getByLabel('Name', { exact: true }).fill('bakery');
    await press('Create and show the code');
    const code = await readQr();
    await page.getByRole('timer').getByText('A new code comes in').waitFor();
    await isSound(page, 'pairing');
    await phones(`/accounts/${NUMBER}/scan-qr`, { qr: code });
    await page.getByText('● Ready').first().waitFor();
    await noMarkup('the name of an account');
    await isSound(page, 'number');
  });

  await doing('a number is linked by a typed code', async () => {
    const other = '4915550002000';
    await phones('/accounts', { phone: other, name: 'Florist' });
    await menu('Numbers');
    await press('Link a number');
    await page.getByLabel('Name', { exact: true }).fill('florist');
    await press('Create and show the code');
    await page.getByRole('tab', { name: 'Type a code' }).click();
    await page.getByLabel('Number of the phone').fill('+49 155 5000 2000');
    await press('Show a code');
    const code = await page.locator('.typed strong').textContent();
    await isSound(page, 'pairing-code');
    await phones(`/accounts/${other}/enter-code`, { code: code.replace(/\W/g, '') });
    await page.getByText('● Ready').first().waitFor();
  });

  await doing('the fleet is filtered and found', async () => {
    await menu('Numbers');
    await page.getByRole('link', { name: 'florist' }).waitFor();
    await page.getByLabel('Find by name or number').fill('5550001');
    await page.getByRole('link', { name: 'florist' }).waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'bakery' }).waitFor();
    await page.getByLabel('Find by name or number').fill('');
    await isSound(page, 'numbers');
  });

  await doing('a receiver is added and verified', async () => {
    await menu('Webhooks');
    await press('Add a webhook');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
    await dialog.getByLabel('URL').fill(hook);
    await isSound(page, 'webhook-new');
    await press('Add a webhook', dialog);
    await heading(hook);
    await seen('All events of bakery');
    await press('Verify my receiver');
    await press('Send the test');
    await page.getByText('● Accepted').waitFor();
    await press('Close', page.getByRole('dialog').locator('footer'));
    await menu('Webhooks');
    await isSound(page, 'webhooks');
  });

  await doing('a message comes in, is shown as text, and is answered', async () => {
    await menu('Inbox');
    await page.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
    await seen('No chats yet');
    await phones(`/accounts/${MIA}/send`, { to: NUMBER, text: HOSTILE });
    await page.locator('.chat-row').first().click();
    await page.getByRole('log').getByText(HOSTILE).waitFor();
    await noMarkup('a message, and who wrote it');
    await page.getByLabel('Write a message; / offers templates').fill('Your cake is ready');
    await isSound(page, 'inbox');
    await page.keyboard.press('Enter');
    await page.getByRole('log').getByText('Your cake is ready').waitFor();
    await page.getByRole('log').locator('.ticks.delivered, .ticks.read').first().waitFor();
    await press('Mark as read');
    await seen('Marked as read');
  });

  await doing('the timeline of a message tells its whole way', async () => {
    await page.locator('article.own').getByRole('button', { name: 'More' }).click();
    await page.getByRole('main').getByRole('link', { name: 'Timeline' }).click();
    await heading('Timeline');
    await page.locator('.waterfall li').filter({ hasText: 'message.sent' }).filter({ hasText: hook }).first().waitFor();
    await page.locator('.waterfall li').filter({ hasText: 'Asked for by' }).waitFor();
    await page.locator('.waterfall li').filter({ hasText: 'message.ack' }).filter({ hasText: 'Delivered' }).first().waitFor();
    await isSound(page, 'message');
    await page.getByRole('tab', { name: 'Table' }).click();
    await isSound(page, 'message-table');
  });

  await doing('a broken receiver shows its attempts, and a replay reaches it', async () => {
    receiver.status = 500;
    const before = receiver.heard.length;
    await phones(`/accounts/${MIA}/send`, { to: NUMBER, text: 'Is anybody there?' });
    await menu('Webhooks');
    await page.getByRole('link', { name: hook }).click();
    await page.locator('td .pill.busy').first().waitFor();
    await page.getByRole('button', { name: 'message.received' }).first().click();
    const drawer = page.getByRole('dialog');
    await drawer.locator('.timeline li.bad').first().waitFor();
    await drawer.getByText(HOSTILE).first().waitFor();
    await noMarkup('the answer of a receiver');
    await isSound(page, 'delivery');
    receiver.status = 200;
    // The second wait of the schedule is half a minute, and a fifth of it by chance.
    await drawer.locator('.timeline li.good').first().waitFor({ timeout: 60_000 });
    const calls = () => receiver.heard.slice(before).filter(({ body }) => body.data?.body === 'Is anybody there?');
    const tries = calls().length;
    assert.ok(tries >= 2, 'it was tried again');
    await press('Replay this one', drawer);
    await page.getByText('On their way: 1, left out: 0').waitFor();
    await press('Close', drawer.locator('header'));
    for (const began = Date.now(); calls().length <= tries; await page.waitForTimeout(50)) {
      assert.ok(Date.now() - began < 20_000, 'the replay never came');
    }
    assert.equal(new Set(calls().map(({ body }) => body.idempotencyKey)).size, 1);
    await isSound(page, 'webhook');
  });

  await doing('a webhook is paused and goes on', async () => {
    await press('Pause');
    await page.getByText('▲ Paused').waitFor();
    await press('Resume');
    await page.getByText('● Healthy').waitFor();
  });

  await doing('a campaign runs from a file', async () => {
    const people = ['4917020000001', '4917020000002', '4917020000003'];
    for (const phone of people) await phones('/accounts', { phone, name: 'Guest' });
    await menu('Campaigns');
    await page.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
    await press('New campaign');
    const rows = people.map((phone, at) => `+${phone};Guest ${at};`).join('\n');
    const file = { name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from(`phone;name;empty\n${rows}\n`) };
    await page.getByLabel('File of comma-separated values').setInputFiles(file);
    await page.getByText('3 rows. Columns: phone, name, empty').waitFor();
    await page.getByLabel('Text', { exact: true }).fill('Hello {{name}}, {{empty}} {{typo}}');
    await page.getByText('No column of this name: typo').waitFor();
    await page.getByText('empty is empty in 3 rows; their messages would fail.').waitFor();
    await page.getByLabel('Text', { exact: true }).fill('Hello {{name}}, we have bread');
    await seen('Hello Guest 2, we have bread');
    await page.getByLabel('Seconds between two').fill('1');
    await press('Forecast');
    await page.getByRole('button', { name: 'Start: 3 messages' }).waitFor();
    await isSound(page, 'campaign-new');
    await press('Start: 3 messages');
    await page.getByText('● Completed').waitFor();
    await page.getByText('3 sent, 0 failed, of 3').waitFor();
    const inbox = await (await fetch(`${PHONES}/accounts/${people[1]}/inbox`)).json();
    assert.deepEqual(inbox.map(({ text }) => text), ['Hello Guest 1, we have bread']);
    await isSound(page, 'campaign');
  });

  await doing('a campaign is cancelled', async () => {
    await menu('Campaigns');
    await press('New campaign');
    const rows = ['4917020000001', '4917020000002', '4917020000003'].join('\n');
    const file = { name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from(`phone\n${rows}\n`) };
    await page.getByLabel('File of comma-separated values').setInputFiles(file);
    await page.getByLabel('Text', { exact: true }).fill('Too late');
    await page.getByLabel('Seconds between two').fill('60');
    await press('Forecast');
    await press('Start: 3 messages');
    await press('Cancel the campaign');
    await page.getByText('○ Cancelled').first().waitFor();
    await menu('Campaigns');
    await isSound(page, 'campaigns');
  });

  await doing('events appear as they happen', async () => {
    await menu('Live events');
    await phones(`/accounts/${MIA}/send`, { to: NUMBER, text: 'One more' });
    await page.getByText('One more').first().waitFor();
    await isSound(page, 'events');
    await page.getByRole('button', { name: 'message.received' }).first().click();
    await page.getByRole('dialog').getByText('"sequence"').waitFor();
    await page.keyboard.press('Escape');
  });

  await doing('a viewer sees and cannot act, until the key is revoked', async () => {
    await menu('API keys');
    await press('New key');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name', { exact: true }).fill(`lobby ${HOSTILE}`.slice(0, 60));
    await dialog.getByLabel('Role').selectOption('viewer');
    await isSound(page, 'key-new');
    await press('New key', dialog);
    const key = await page.getByRole('dialog').locator('code').textContent();
    await press('Close', page.getByRole('dialog').locator('footer'));
    await noMarkup('the name of a key');
    await isSound(page, 'keys');
    const guest = await visitor(browser, BASE);
    await guest.page.goto(`${BASE}/`);
    await guest.page.getByLabel('API key').fill(key);
    await guest.page.getByRole('button', { name: 'Log in' }).click();
    await guest.page.getByRole('link', { name: 'bakery' }).waitFor();
    for (const name of ['Webhooks', 'API keys', 'Audit']) {
      assert.equal(await guest.page.getByRole('link', { name, exact: true }).count(), 0, name);
    }
    assert.equal(await guest.page.getByRole('button', { name: 'Link a number' }).count(), 0);
    await guest.page.getByRole('link', { name: 'Inbox' }).click();
    await guest.page.locator('.chat-row').first().click();
    await guest.page.getByText('Your key may read, and not write.').waitFor();
    assert.deepEqual(guest.wrongs, []);
    await page.getByRole('button', { name: /^Revoke lobby/ }).click();
    await press('Revoke', page.getByRole('dialog'));
    await page.getByText('✕ Revoked').waitFor();
    await guest.page.getByRole('link', { name: 'Numbers' }).click();
    await guest.page.getByLabel('API key').waitFor();
    await guest.context.close();
  });

  await doing('a plugin is installed, configured and enabled', async () => {
    await menu('Plugins');
    await seen('No plugin');
    await isSound(page, 'plugins-none');
    await page.getByLabel('Install a package').setInputFiles(process.env.PLUGIN);
    await page.getByText('Installed. Enable it when it is configured.').waitFor();
    await page.locator('td .as-link').first().click();
    const drawer = page.getByRole('dialog');
    await drawer.getByLabel('What stands in place of a secret').fill('[hidden]');
    await press('Add', drawer);
    await drawer.getByLabel('1', { exact: true }).fill('\\bpin \\d+');
    await press('Save', drawer);
    await page.getByText('Saved', { exact: true }).waitFor();
    await press('Enable', drawer);
    await drawer.getByText('● Enabled').waitFor();
    await isSound(page, 'plugin');
    await page.keyboard.press('Escape');
    await isSound(page, 'plugins');
  });

  await doing('audit and health', async () => {
    await menu('Audit');
    await page.getByRole('button', { name: 'api_key_revoked' }).waitFor();
    await isSound(page, 'audit');
    await menu('Health');
    await heading('Health');
    await page.getByText('Database', { exact: true }).waitFor();
    await isSound(page, 'health');
  });

  await doing('every language has every text', async () => {
    for (const [code, title] of [['de', 'Zustand'], ['pt', 'Saúde'], ['es', 'Salud'], ['en', 'Health']]) {
      await page.getByRole('navigation').locator('select').first().selectOption(code);
      await heading(title);
    }
  });

  await doing('the page works under a long address and by keyboard', async () => {
    await page.goto(`${BASE}/#/numbers`);
    await page.reload();
    await heading('Numbers');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  });

  await doing('logging out ends it', async () => {
    await press('Log out');
    await page.getByLabel('API key').waitFor();
    assert.deepEqual(await context.cookies(), []);
  });
  console.log('all steps passed');
} catch (error) {
  console.error(`step "${step}": ${error.stack}`);
  console.error('page errors:', wrongs);
  if (process.env.WAYPOST_SHOTS) await page.screenshot({ path: `${process.env.WAYPOST_SHOTS}/failed.png` });
  console.error(await page.locator('body').innerText());
  process.exitCode = 1;
} finally {
  await browser.close();
  server.close();
}
