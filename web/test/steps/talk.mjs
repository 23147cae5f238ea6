// The inbox, and the timeline of a message.
import assert from 'node:assert/strict';
import { HOSTILE, MIA, NUMBER } from '../stage.mjs';

export async function talking(stage) {
  const { BASE, api, doing, heading, hook, isSound, menu, noMarkup, page, phones, press, receiver, seen, sessionOf, wrongs } = stage;

  await doing('a message comes in, is shown as text, and is answered', async () => {
    await menu('Inbox');
    await page.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
    await seen('No chats yet');
    await phones(`/accounts/${MIA}/send`, { to: NUMBER, text: HOSTILE });
    await page.locator('.chat-row').first().click();
    await page.getByRole('log').getByText(HOSTILE).waitFor();
    await noMarkup('a message, and who wrote it');
    await page.getByLabel('Write a message; / offers templates').fill('Your cake is ready');
    await isSound('inbox');
    await page.keyboard.press('Enter');
    await page.getByRole('log').getByText('Your cake is ready').waitFor();
    await page.getByRole('log').locator('.ticks.read').first().waitFor();
    await press('Mark as read');
    await seen('Marked as read');
  });

  await doing('the timeline of a message tells its whole way', async () => {
    await page.locator('article.own').getByRole('button', { name: 'More' }).click();
    await page.getByRole('main').getByRole('link', { name: 'Timeline' }).click();
    await heading('Timeline');
    await page.locator('.waterfall li').filter({ hasText: 'message.sent' }).filter({ hasText: hook }).first().waitFor();
    await page.locator('.waterfall li').filter({ hasText: 'Asked for by' }).waitFor();
    await page.locator('.waterfall li').filter({ hasText: 'message.ack' }).filter({ hasText: 'Read' }).first().waitFor();
    await isSound('message');
    await page.getByRole('tab', { name: 'Table' }).click();
    await isSound('message-table');
  });

  await doing('a message is found by an idempotency key, the id of an event, and its number', async () => {
    const { headers, body: told } = receiver.heard.find(({ body }) => body.event === 'message.sent' && body.data.body === 'Your cake is ready');
    for (const text of [told.idempotencyKey, `+${MIA.slice(0, 2)} ${MIA.slice(2)}`, headers['webhook-id']]) {
      await menu('Timeline');
      await page.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
      await page.getByLabel('Message id, idempotency key or phone number').fill(text);
      await press('Find');
      if (text.startsWith('+')) {
        await page.getByRole('heading', { name: 'The newest messages of this chat' }).waitFor();
        await isSound('message-choice');
        await page.getByRole('listitem').filter({ hasText: 'Your cake is ready' }).getByRole('link').click();
      }
      await page.locator('.card .body').filter({ hasText: 'Your cake is ready' }).waitFor();
    }
    await page.getByRole('tab', { name: 'JSON' }).click();
    await isSound('message-json');
    await noMarkup('the JSON of a message');
  });

  await doing('an answer quotes, is changed, reacted to, and taken back', async () => {
    await menu('Inbox');
    await page.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
    await page.locator('.chat-row').first().click();
    const log = page.getByRole('log');
    const write = page.getByLabel('Write a message; / offers templates');
    const more = (text) => log.getByRole('article').filter({ hasText: text }).last().getByRole('button', { name: 'More' }).click();
    await log.getByRole('article').filter({ hasText: HOSTILE }).first().getByRole('button', { name: 'More' }).click();
    await isSound('inbox-actions');
    await press('React with 👍', log);
    await log.getByRole('list', { name: 'Reactions' }).getByText('👍').waitFor();
    await log.getByRole('article').filter({ hasText: HOSTILE }).first().getByRole('button', { name: 'More' }).click();
    await press('Reply', log);
    await write.fill('At noon');
    await page.keyboard.press('Enter');
    await log.locator('blockquote').getByText(HOSTILE.slice(0, 10)).first().waitFor();
    await write.fill('A draft that stays');
    await more('At noon');
    await press('Edit', log);
    assert.equal(await write.inputValue(), 'At noon');
    await write.fill('At one');
    await page.keyboard.press('Enter');
    await log.getByText('At one', { exact: true }).waitFor();
    await log.getByText('edited', { exact: true }).waitFor();
    assert.equal(await write.inputValue(), 'A draft that stays');
    await write.fill('');
    await more('At one');
    await press('Delete', log);
    await press('Delete', page.getByRole('dialog'));
    await log.getByText('At one', { exact: true }).waitFor({ state: 'detached' });
    await log.getByText('[Taken back]').waitFor();
    await noMarkup('what an answer quotes');
  });

  await doing('messages are searched in all chats and in one', async () => {
    await menu('Inbox');
    await page.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
    await page.getByLabel('Find a chat').fill('cake ready');
    const found = page.getByRole('region', { name: 'Messages found' });
    await found.getByText('1 message holds these words').waitFor();
    assert.deepEqual(await found.locator('mark').allTextContents(), ['cake', 'ready']);
    await isSound('inbox-search');
    await found.getByRole('link').click();
    await page.locator('.bubble.is-found').getByText('Your cake is ready').waitFor();
    await page.getByRole('link', { name: 'To the newest' }).click();
    await page.getByLabel('Find words in this chat').fill('onerror');
    const here = page.locator('.thread').getByRole('region', { name: 'Messages found' });
    await here.getByText(HOSTILE.slice(0, 10)).first().waitFor();
    await noMarkup('what a search found');
    await isSound('thread-search');
    await page.getByLabel('Find words in this chat').fill('');
  });

  await doing('a draft stays with its chat, and templates are offered by /', async () => {
    const session = await sessionOf('bakery');
    const template = { name: 'greeting', body: `Good morning ${HOSTILE}`, footer: 'The bakery' };
    assert.equal((await api('POST', `/api/sessions/${session}/templates`, template)).status, 201);
    await phones('/accounts', { phone: '4917033330000', name: 'Noa' });
    await phones('/accounts/4917033330000/send', { to: NUMBER, text: 'Hello there' });
    const write = page.getByLabel('Write a message; / offers templates');
    await page.locator('.chat-row').filter({ hasText: 'Hello there' }).waitFor();
    await write.fill('Half a thought');
    await page.locator('.chat-row').filter({ hasText: 'Hello there' }).click();
    await page.getByRole('log').getByText('Hello there').waitFor();
    assert.equal(await write.inputValue(), '');
    const mia = page.locator('.chat-row').filter({ hasText: 'Draft: Half a thought' });
    await mia.waitFor();
    await mia.click();
    await page.getByRole('log').getByText('Your cake is ready').waitFor();
    assert.equal(await write.inputValue(), 'Half a thought');
    await write.fill('/gree');
    const offered = page.getByRole('list', { name: 'Templates' });
    await offered.getByText('/greeting').waitFor();
    await noMarkup('a template');
    await isSound('templates');
    await offered.getByRole('button').first().click();
    assert.equal(await write.inputValue(), `Good morning ${HOSTILE}\n\nThe bakery`);
    await write.fill('');
    await page.locator('.chat-row').filter({ hasText: 'Draft:' }).waitFor({ state: 'detached' });
  });

  await doing('a file with a hostile name and caption is shown as text', async () => {
    const file = { to: NUMBER, kind: 'document', bytes: Buffer.from('hello').toString('base64'), mimetype: 'text/html' };
    await phones(`/accounts/${MIA}/send`, { ...file, filename: `${HOSTILE}.html`, caption: `Read ${HOSTILE}` });
    await page.getByRole('log').getByText(`Read ${HOSTILE}`).waitFor();
    await noMarkup('the name of a file');
  });

  await doing('the timeline of a message to a group has a row for each member', async () => {
    const members = [NUMBER, MIA, '4917033330000'];
    const { group } = await phones('/accounts/4917033330000/groups', { subject: `Bread ${HOSTILE}`.slice(0, 100), members });
    const session = await sessionOf('bakery');
    await page.goto(`${BASE}/#/inbox/${session}/${encodeURIComponent(group)}`);
    const write = page.getByLabel('Write a message; / offers templates');
    await write.fill('Fresh bread for all');
    await page.keyboard.press('Enter');
    await page.getByRole('log').getByText('Fresh bread for all').waitFor();
    await page.getByRole('log').locator('.ticks.sent, .ticks.delivered, .ticks.read').first().waitFor();
    await noMarkup('the name of a group');
    await page.locator('article.own').getByRole('button', { name: 'More' }).click();
    await page.getByRole('main').getByRole('link', { name: 'Timeline' }).click();
    const receipts = page.getByRole('region', { name: 'Who has it' });
    await receipts.getByText(`+${MIA}`).waitFor();
    await receipts.getByText('+4917033330000').waitFor();
    assert.equal(await receipts.locator('tbody tr').count(), 2);
    await receipts.locator('tbody tr').filter({ hasText: MIA }).locator('time').nth(1).waitFor();
    await isSound('message-group');
  });

  await doing('a refusal is explained', async () => {
    const stranger = '4917044440000';
    await phones('/accounts', { phone: stranger, name: 'Stranger' });
    await phones('/faults', { kind: 'nack-to', phone: stranger, code: 403 });
    const session = await sessionOf('bakery');
    await page.goto(`${BASE}/#/inbox/${session}/${stranger}@c.us`);
    await page.getByLabel('Write a message; / offers templates').fill('May I?');
    await page.keyboard.press('Enter');
    await page.getByRole('log').getByText('WhatsApp does not allow messages to this recipient: blocked, or not a member.').waitFor();
    await isSound('refusal');
    // The browser notes the refusal of the request, too.
    assert.ok(wrongs.splice(0).every((wrong) => wrong.includes('403')));
    await page.locator('article.own').getByRole('button', { name: 'More' }).click();
    await page.getByRole('main').getByRole('link', { name: 'Timeline' }).click();
    await seen('Why it failed');
    await phones('/faults', { kind: 'accept-to', phone: stranger });
  });
}
