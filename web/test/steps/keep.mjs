// Events, keys, approvals, plugins, audit, health, and the page itself.
import assert from 'node:assert/strict';
import { HOSTILE, MIA, NUMBER } from '../stage.mjs';

export async function keeping(stage) {
  const { BASE, KEY, PLUGIN, api, context, doing, heading, isSound, menu, noMarkup, page, phones, press, saved, seen } = stage;

  await doing('events appear as they happen', async () => {
    await menu('Live events');
    await phones(`/accounts/${MIA}/send`, { to: NUMBER, text: 'One more' });
    await page.getByText('One more').first().waitFor();
    await isSound('events');
    await page.getByRole('button', { name: 'message.received' }).first().click();
    await page.getByRole('dialog').getByText('"sequence"').waitFor();
    await isSound('event');
    await page.keyboard.press('Escape');
  });

  await doing('a send that waits for a person is let go, and another refused', async () => {
    await menu('API keys');
    await press('New key');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name', { exact: true }).fill('agent');
    await dialog.getByLabel('Its sends wait for a person').check();
    await press('New key', dialog);
    const key = await page.getByRole('dialog').locator('code').textContent();
    await press('Close', page.getByRole('dialog').locator('footer'));
    const session = (await api('GET', '/api/sessions')).body.find(({ name }) => name === 'bakery').id;
    await menu('Approvals');
    await seen('Nothing waits for a person');
    for (const text of [`May I? ${HOSTILE}`, 'Never mind']) {
      const path = `/api/sessions/${session}/messages/send-text`;
      assert.equal((await api('POST', path, { chatId: `${MIA}@c.us`, text }, key)).status, 202);
    }
    await page.getByRole('button', { name: /Never mind/ }).click();
    await press('Refuse', page.getByRole('dialog'));
    await page.getByRole('dialog').getByText('○ Refused').waitFor();
    await press('Close', page.getByRole('dialog').locator('header'));
    await page.getByRole('button', { name: /May I/ }).click();
    await isSound('approval');
    await noMarkup('a send that waits');
    await press('Let it go out', page.getByRole('dialog'));
    await page.getByRole('dialog').getByText('● Sent').waitFor();
    await press('Close', page.getByRole('dialog').locator('header'));
    await seen('Nothing waits for a person');
    await page.getByRole('button', { name: 'All', exact: true }).click();
    // What they said is gone once they are decided.
    for (const state of ['○ Refused', '● Sent']) await page.getByRole('row').filter({ hasText: state }).waitFor();
    await isSound('approvals');
  });

  await doing('a plugin is installed, configured and enabled', async () => {
    await menu('Plugins');
    await seen('No plugin');
    await isSound('plugins-none');
    await page.getByLabel('Install a package').setInputFiles(PLUGIN);
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
    await isSound('plugin');
    await page.keyboard.press('Escape');
    await isSound('plugins');
  });

  await doing('the audit is saved as CSV', async () => {
    await menu('Audit');
    await page.getByRole('button', { name: 'api_key_revoked' }).waitFor();
    await isSound('audit');
    const lines = (await saved('Save as CSV')).split('\r\n');
    assert.match(lines[0], /^createdAt,action,severity,/);
    assert.ok(lines.some((line) => line.includes(',api_key_revoked,')), lines[1]);
    assert.ok(!lines.some((line) => line.startsWith('=')));
    await page.getByText(/^Saved: [\d,]+ entries$/).waitFor();
    await page.getByRole('button', { name: 'api_key_revoked' }).first().click();
    await isSound('audit-entry');
    await page.keyboard.press('Escape');
  });

  await doing('health shows the processes, the installation and the settings, and its report holds no secret', async () => {
    await menu('Health');
    await heading('Health');
    await page.getByText('Database', { exact: true }).first().waitFor();
    await page.getByRole('region', { name: 'Processes' }).getByText('answers you').waitFor();
    await page.getByText('Handed out from the database').waitFor();
    await page.getByLabel('Find a setting').fill('server.port');
    const row = page.getByRole('region', { name: 'Settings in force' }).getByRole('row').filter({ hasText: 'server.port' });
    await row.getByText('Environment PORT').waitFor();
    await page.getByLabel('Find a setting').fill('API_MASTER_KEY');
    await page.getByRole('region', { name: 'Settings in force' }).getByText('***').first().waitFor();
    await page.getByLabel('Find a setting').fill('');
    await isSound('health');
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: BASE });
    await page.getByRole('button', { name: 'Copy: Copy a report' }).click();
    const report = await page.evaluate(() => navigator.clipboard.readText());
    const { status, config, processes: all, health } = JSON.parse(report);
    assert.ok(status.database.connected && config.config.server && all.length && health.version, report.slice(0, 500));
    assert.ok(!report.includes(KEY), 'a secret is in the report');
  });

  await doing('sends are paused with a banner on every page, and go on', async () => {
    await menu('API keys');
    await press('Pause sends');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Reason').fill(`A leak ${HOSTILE}`);
    await isSound('brake');
    await press('Pause sends', dialog);
    const banner = page.getByRole('region', { name: 'Sends are paused' });
    await banner.getByText(`A leak ${HOSTILE}`).waitFor();
    for (const name of ['Numbers', 'Inbox', 'Lanes', 'Health']) {
      await menu(name);
      await banner.waitFor();
    }
    await noMarkup('the reason of a pause');
    await isSound('banner');
    await press('Resume sends', banner);
    await banner.waitFor({ state: 'detached' });
  });

  await doing('every other key is revoked in one go', async () => {
    await menu('API keys');
    await press('Revoke all other keys and pause sends');
    await isSound('brake-all');
    await press('Revoke all other keys and pause sends', page.getByRole('dialog'));
    await page.getByText(/^Revoked: \d+\. Sends are paused\.$/).waitFor();
    await noMarkup('names of keys that stay');
    await press('Close', page.getByRole('dialog').locator('footer'));
    const banner = page.getByRole('region', { name: 'Sends are paused' });
    await press('Resume sends', banner);
    await banner.waitFor({ state: 'detached' });
    const keys = (await api('GET', '/api/auth/api-keys')).body;
    assert.ok(keys.filter(({ isActive }) => isActive).length <= 1, JSON.stringify(keys));
  });
}

export async function leaving({ BASE, context, doing, heading, page, press }) {
  await doing('every language has every text, and fits narrow screens', async () => {
    for (const [code, title] of [['de', 'Zustand'], ['pt', 'Saúde'], ['es', 'Salud'], ['en', 'Health']]) {
      await page.goto(`${BASE}/#/health`);
      await page.getByRole('navigation').locator('select').first().selectOption(code);
      await heading(title);
      await page.setViewportSize({ width: 360, height: 800 });
      for (const view of ['numbers', 'inbox', 'approvals', 'webhooks', 'lanes', 'message', 'campaigns', 'events', 'plugins', 'keys', 'audit', 'health']) {
        await page.evaluate((hash) => (location.hash = hash), `#/${view}`);
        await page.getByRole('heading', { level: 1 }).waitFor({ state: 'attached' });
        await page.waitForTimeout(150);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(over <= 0, `${view} in ${code} is ${over} px too wide for 360 px`);
      }
      await page.setViewportSize({ width: 1280, height: 800 });
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
}
