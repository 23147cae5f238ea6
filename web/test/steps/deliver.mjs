// Webhooks, deliveries and lanes.
import assert from 'node:assert/strict';
import { can, lanes, rates } from '../canned.mjs';
import { HOSTILE, MIA, NUMBER } from '../stage.mjs';

export async function delivering(stage) {
  const { BASE, api, doing, heading, hook, isSound, menu, noMarkup, page, phones, press, receiver, seen } = stage;

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
    await isSound('delivery');
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
    await isSound('webhook');
  });

  await doing('a webhook is paused and goes on', async () => {
    await press('Pause');
    await page.getByText('▲ Paused').waitFor();
    await press('Resume');
    await page.getByText('● Healthy').waitFor();
  });

  await doing('a range is counted and replayed, and a secret is changed', async () => {
    await menu('Webhooks');
    await page.getByRole('link', { name: hook }).click();
    await press('Replay a range');
    const dialog = page.getByRole('dialog');
    // A field that is emptied says nothing, and breaks nothing.
    await dialog.getByLabel('From').fill('');
    assert.ok(await dialog.getByRole('button', { name: 'Count them' }).isDisabled());
    await dialog.getByLabel('From').fill('2020-01-01T00:00:00');
    await dialog.getByRole('button', { name: 'Delivered', exact: true }).click();
    await press('Count them', dialog);
    await dialog.getByText(/^\d+ deliver(y fits|ies fit)\.$/).waitFor();
    await isSound('replay-range');
    await press('Replay', dialog);
    await page.getByText(/^On their way: \d+, left out: \d+$/).first().waitFor();
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('checkbox', { name: /^Choose / }).and(page.locator(':enabled')).first().check();
    await press('Replay 1');
    await isSound('replay-selection');
    await press('Cancel', dialog);
    await press('New secret');
    await isSound('webhook-rotate');
    await press('New secret', dialog.locator('footer'));
    await page.getByText('The new secret is in force').waitFor();
  });

  await doing('what a receiver answered to a test is shown as text', async () => {
    const answer = { status: 503, durationMs: 42, headers: { server: HOSTILE }, excerpt: HOSTILE };
    const over = await can(page, '/test', () => ({ success: false, statusCode: 503, error: HOSTILE, answer }));
    await menu('Webhooks');
    await page.getByRole('link', { name: hook }).click();
    await press('Verify my receiver');
    await press('Send the test');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Headers of the answer').getByText(`server: ${HOSTILE}`).waitFor();
    await dialog.getByLabel('Beginning of the answer').getByText(HOSTILE).waitFor();
    await dialog.getByText('42 ms').waitFor();
    await noMarkup('the answer to a test');
    await isSound('webhook-verify');
    await press('Close', dialog.locator('footer'));
    await over();
  });

  await doing('what was never attempted is counted and replayed', async () => {
    const { body: all } = await api('GET', '/api/sessions');
    const session = all.find(({ name }) => name === 'bakery').id;
    const late = `${hook}?late=${HOSTILE}`;
    const made = await api('POST', `/api/sessions/${session}/webhooks`, { url: late, events: ['message.received'] });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const before = receiver.heard.length;
    await page.goto(`${BASE}/#/webhooks/${made.body.id}`);
    await page.reload();
    await press('Replay what was never attempted');
    const dialog = page.getByRole('dialog');
    await press('Count them', dialog);
    const text = await dialog.getByText(/^\d+ events? (was|were) never attempted\.$/).textContent();
    const n = Number.parseInt(text, 10);
    assert.ok(n > 0, text);
    await isSound('replay-never');
    await press('Replay', dialog);
    await page.getByText(`On their way: ${n}, left out: 0`).waitFor();
    for (const began = Date.now(); receiver.heard.length < before + n; await page.waitForTimeout(50)) {
      assert.ok(Date.now() - began < 20_000, `${receiver.heard.length - before} of ${n} came`);
    }
    await noMarkup('the address of a webhook');
    await press('Replay what was never attempted');
    await press('Count them', dialog);
    await dialog.getByText('0 events were never attempted.').waitFor();
    assert.ok(await dialog.getByRole('button', { name: 'Replay', exact: true }).isDisabled());
    await press('Cancel', dialog);
  });

  await doing('lanes show what waits, why, and where it stands', async () => {
    receiver.status = 500;
    await phones(`/accounts/${MIA}/send`, { to: NUMBER, text: 'Waits in a lane' });
    await menu('Lanes');
    await heading('Lanes');
    const row = page.getByRole('table').getByRole('row').filter({ hasText: hook }).first();
    await row.getByText(/Waits for its next try|Receiver held back/).waitFor();
    await page.getByRole('img', { name: /Attempts per minute/ }).locator('canvas').waitFor();
    await isSound('lanes');
    await page.getByRole('combobox', { name: 'Why' }).selectOption('inactive');
    await seen('No lane fits');
    await page.getByRole('combobox', { name: 'Why' }).selectOption('');
    await row.getByRole('button').first().click();
    await page.getByRole('dialog').getByRole('link', { name: 'Look at its delivery' }).click();
    await page.getByRole('dialog').locator('.timeline li.bad').first().waitFor();
    receiver.status = 200;
    await page.getByRole('dialog').locator('.timeline li.good').first().waitFor({ timeout: 60_000 });
    await press('Close', page.getByRole('dialog').locator('header'));
  });

  await doing('lanes of every kind, and their charts, show hostile texts as text', async () => {
    const over = [await can(page, '/api/lanes/rates', rates), await can(page, '/api/lanes', lanes)];
    await page.goto(`${BASE}/#/numbers`);
    await menu('Lanes');
    await page.getByText('7 lanes wait').waitFor();
    await page.getByRole('img', { name: /Attempts per minute, now: Delivered [\d.]+, Failed \d/ }).locator('canvas').waitFor();
    await page.getByRole('img', { name: /How long the oldest waits/ }).locator('canvas').waitFor();
    for (const why of ['On its way', 'Waits for a place', 'Waits for its next try', 'Rate used up', 'Receiver held back', 'Webhook paused', 'Webhook switched off']) {
      await page.getByRole('table').getByText(why).first().waitFor();
    }
    await isSound('lanes-all');
    await press('As a table');
    await page.getByRole('region', { name: 'Deliveries over time' }).locator('tbody tr').first().waitFor();
    await isSound('lanes-table');
    await page.getByRole('region', { name: 'Lanes' }).getByRole('button').nth(2).click();
    await page.getByRole('dialog').getByText(HOSTILE).first().waitFor();
    await isSound('lane');
    await noMarkup('a lane');
    await page.keyboard.press('Escape');
    for (const end of over) await end();
  });
}

export async function receiving({ doing, heading, hook, isSound, menu, page, press, seen }) {
  await doing('a receiver is added and verified', async () => {
    await menu('Webhooks');
    await press('Add a webhook');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
    await dialog.getByLabel('URL').fill(hook);
    await isSound('webhook-new');
    await press('Add a webhook', dialog);
    await heading(hook);
    await seen('All events of bakery');
    await press('Verify my receiver');
    await press('Send the test');
    await page.getByText('● Accepted').waitFor();
    await press('Close', page.getByRole('dialog').locator('footer'));
    await menu('Webhooks');
    await isSound('webhooks');
  });
}
