// Who logs in with which key: what the menu offers, what each view shows, and that nothing of it is refused.
import assert from 'node:assert/strict';
import { HOSTILE, MIA } from '../stage.mjs';

const MENUS = {
  admin: ['Numbers', 'Inbox', 'Approvals', 'Webhooks', 'Lanes', 'Timeline', 'Campaigns', 'Live events', 'Plugins', 'API keys', 'Audit', 'Health'],
  operator: ['Numbers', 'Inbox', 'Webhooks', 'Lanes', 'Timeline', 'Campaigns', 'Live events', 'Health'],
  viewer: ['Numbers', 'Inbox', 'Approvals', 'Campaigns', 'Live events', 'Health'],
  chats: ['Inbox', 'Live events', 'Health'],
};

/** Looks at each view that the menu offers; a request that is refused would be an error in the console. */
async function walk({ page, wrongs }, names) {
  const nav = page.getByRole('navigation');
  await nav.waitFor();
  assert.deepEqual((await nav.getByRole('listitem').allTextContents()).map((name) => name.trim()), names);
  for (const name of names) {
    await nav.getByRole('link', { name, exact: true }).click();
    await page.getByRole('heading', { level: 1 }).waitFor({ state: 'attached' });
    for (const began = Date.now(); (await page.locator('.waiting').count()) > 0; await page.waitForTimeout(50)) {
      assert.ok(Date.now() - began < 20_000, `${name} waits`);
    }
    assert.equal(await page.getByRole('alert').count(), 0, name);
    assert.deepEqual(wrongs, [], name);
  }
}

async function logIn({ BASE, visitor }, key) {
  const guest = await visitor();
  await guest.page.goto(`${BASE}/`);
  await guest.page.getByLabel('API key').fill(key);
  await guest.page.getByRole('button', { name: 'Log in' }).click();
  return guest;
}

async function makeKey({ api }, body) {
  const made = await api('POST', '/api/auth/api-keys', body);
  assert.equal(made.status, 201, JSON.stringify(made.body));
  return made.body.apiKey;
}

async function write(page, text) {
  await page.getByLabel('Write a message; / offers templates').fill(text);
  await page.keyboard.press('Enter');
  await page.getByRole('log').getByText(text).waitFor();
}

export async function visiting(stage) {
  const { BASE, KEY, api, doing, isSound, menu, noMarkup, page, press, sessionOf } = stage;

  await doing('an admin sees everything', async () => {
    const guest = await logIn(stage, KEY);
    await walk(guest, MENUS.admin);
    await guest.context.close();
  });

  await doing('a viewer sees and cannot act, until the key is revoked', async () => {
    await menu('API keys');
    await press('New key');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name', { exact: true }).fill(`lobby ${HOSTILE}`.slice(0, 60));
    await dialog.getByLabel('Role').selectOption('viewer');
    await isSound('key-new');
    await press('New key', dialog);
    const key = await page.getByRole('dialog').locator('code').textContent();
    await isSound('key-made');
    await press('Close', page.getByRole('dialog').locator('footer'));
    await noMarkup('the name of a key');
    await isSound('keys');
    const guest = await logIn(stage, key);
    await walk(guest, MENUS.viewer);
    await guest.page.getByRole('link', { name: 'Numbers' }).click();
    assert.equal(await guest.page.getByRole('button', { name: 'Link a number' }).count(), 0);
    await guest.page.goto(`${BASE}/#/inbox/${await sessionOf('bakery')}`);
    await guest.page.locator('.chat-row').first().click();
    await guest.page.getByText('Your key may read, and not write.').waitFor();
    assert.equal(await guest.page.getByRole('button', { name: 'Mark as read' }).count(), 0);
    assert.deepEqual(guest.wrongs, []);
    await page.getByRole('button', { name: /^Revoke lobby/ }).click();
    await press('Revoke', page.getByRole('dialog'));
    await page.getByText('✕ Revoked').waitFor();
    await guest.page.getByRole('link', { name: 'Numbers' }).click();
    await guest.page.getByLabel('API key').waitFor();
    await guest.context.close();
  });

  await doing('an operator of one session acts in it, and sees no other', async () => {
    const session = await sessionOf('bakery');
    const guest = await logIn(stage, await makeKey(stage, { name: 'till', role: 'operator', allowedSessions: [session] }));
    await walk(guest, MENUS.operator);
    await guest.page.getByRole('link', { name: 'Numbers' }).click();
    await guest.page.getByRole('link', { name: 'bakery' }).waitFor();
    assert.equal(await guest.page.getByRole('link', { name: 'florist' }).count(), 0);
    assert.equal(await guest.page.getByRole('button', { name: 'Link a number' }).count(), 0);
    await guest.page.getByRole('link', { name: 'Inbox' }).click();
    await guest.page.locator('.chat-row').filter({ hasText: 'Mia' }).click();
    await write(guest.page, 'From the till');
    assert.deepEqual(guest.wrongs, []);
    await guest.context.close();
  });

  await doing('a key for one chat shows that chat alone', async () => {
    const session = await sessionOf('bakery');
    const { body: chats } = await api('GET', `/api/sessions/${session}/chats`);
    const { id } = chats.find(({ phone }) => phone === MIA);
    const other = chats.find((chat) => chat.id !== id).id;
    const key = await makeKey(stage, { name: 'desk', role: 'operator', allowedSessions: [session], allowedChats: [id] });
    const guest = await logIn(stage, key);
    await walk(guest, MENUS.chats);
    await guest.page.getByRole('link', { name: 'Inbox' }).click();
    await guest.page.locator('.chat-row').click();
    await guest.page.getByLabel('Write a message; / offers templates').fill('/');
    assert.equal(await guest.page.getByRole('list', { name: 'Templates' }).count(), 0);
    await write(guest.page, 'From the desk');
    assert.equal(await guest.page.locator('.chat-row').count(), 1);
    assert.deepEqual(guest.wrongs, []);
    await guest.page.goto(`${BASE}/#/inbox/${session}/${encodeURIComponent(other)}`);
    await guest.page.locator('.thread').getByRole('alert').waitFor();
    assert.equal(await guest.page.locator('.thread article').count(), 0);
    await guest.context.close();
  });
}
