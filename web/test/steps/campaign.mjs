// Campaigns.
import assert from 'node:assert/strict';
import { NUMBER } from '../stage.mjs';

export async function campaigning(stage) {
  const { PHONES, api, doing, isSound, menu, page, phones, press, saved, seen, sessionOf } = stage;

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
    await page.locator('.plan').getByText(/: 3 messages, from .*; the end about /).waitFor();
    await isSound('campaign-new');
    await press('Start: 3 messages');
    await page.getByText('● Completed').waitFor();
    await page.getByText('3 sent, 0 failed, of 3').waitFor();
    const inbox = await (await fetch(`${PHONES}/accounts/${people[1]}/inbox`)).json();
    assert.deepEqual(inbox.map(({ text }) => text), ['Hello Guest 1, we have bread']);
    const csv = (await saved('Save as CSV')).split('\r\n');
    assert.match(csv[0], /^index,chatId,/);
    assert.equal(csv.length, 4);
    assert.match(csv[2], /^1,.*,sent,/);
    await isSound('campaign');
  });

  await doing('a long campaign is drawn over its days, around its quiet hours', async () => {
    await menu('Campaigns');
    await press('New campaign');
    const rows = Array.from({ length: 2000 }, (_, at) => `49170300${10_000 + at}`).join('\n');
    const file = { name: 'many.csv', mimeType: 'text/csv', buffer: Buffer.from(`phone\n${rows}\n`) };
    await page.getByLabel('File of comma-separated values').setInputFiles(file);
    await page.getByLabel('Text', { exact: true }).fill('Hello');
    await page.getByLabel('Seconds between two').fill('60');
    await page.getByLabel('Quiet from').fill('20:00');
    await page.getByLabel('Quiet until').fill('08:00');
    await page.getByText('60 messages an hour. Nothing is sent from 20:00 to 08:00').waitFor();
    await press('Forecast');
    await page.locator('.plan li').nth(2).waitFor();
    await page.locator('.plan').getByText(/; the end about /).waitFor();
    assert.equal(await page.locator('.bars').first().locator('.is-quiet').count(), 12);
    await isSound('campaign-days');
  });

  await doing('a campaign is cancelled', async () => {
    await menu('Campaigns');
    await page.getByLabel('Session').selectOption({ label: `bakery (+${NUMBER})` });
    await press('New campaign');
    const rows = ['4917020000001', '4917020000002', '4917020000003'].join('\n');
    const file = { name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from(`phone\n${rows}\n`) };
    await page.getByLabel('File of comma-separated values').setInputFiles(file);
    await page.getByLabel('Text', { exact: true }).fill('Too late');
    await page.getByLabel('Seconds between two').fill('60');
    await press('Forecast');
    await press('Start: 3 messages');
    await press('Pause');
    await page.getByText('▲ Paused').first().waitFor();
    await press('Resume');
    await page.getByRole('button', { name: 'Pause', exact: true }).waitFor();
    await press('Cancel the campaign');
    const dialog = page.getByRole('dialog');
    await isSound('campaign-cancel');
    await press('Cancel', dialog);
    await dialog.waitFor({ state: 'detached' });
    await press('Cancel the campaign');
    await press('Cancel the campaign', dialog);
    await page.getByText('○ Cancelled').first().waitFor();
    const { body: batches } = await api('GET', `/api/sessions/${await sessionOf('bakery')}/messages/batches`);
    assert.equal(batches.filter(({ status }) => status === 'cancelled').length, 1);
    await menu('Campaigns');
    await isSound('campaigns');
  });
}
