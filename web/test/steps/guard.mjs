// What surrounds the page: other sites, proxies, browsers that can less, streams that end.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';

async function listening(server) {
  await new Promise((listens) => server.listen(0, listens));
  return server.address().port;
}

/** What a page of another origin gets when it asks the gateway with the cookie of this browser. */
async function ask(context, origin, base) {
  const page = await context.newPage();
  await page.goto(origin);
  const read = await page.evaluate(
    (base) => fetch(`${base}/api/sessions`, { credentials: 'include' }).then((answer) => answer.text(), () => 'nothing'),
    base,
  );
  // A form needs no leave of the other side.
  const path = '/api/sends/pause';
  const change = page.waitForResponse((answer) => answer.url() === base + path);
  await page.evaluate((action) => {
    const form = document.createElement('form');
    Object.assign(form, { method: 'post', action });
    document.body.append(form);
    form.submit();
  }, base + path);
  const status = (await change).status();
  // The answer to a form is a page that does not always tell that it is closed.
  void page.close();
  return { read, status };
}

/** A proxy that shows the gateway under /gate, and notes what is asked elsewhere. */
function proxy(base, strays) {
  const { hostname, port } = new URL(base);
  return createServer((asked, answer) => {
    if (!asked.url.startsWith('/gate/')) {
      strays.push(asked.url);
      answer.writeHead(404).end();
      return;
    }
    const options = { hostname, port, method: asked.method, path: asked.url.slice('/gate'.length), headers: asked.headers };
    const forward = request(options, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    forward.on('error', () => answer.destroy());
    answer.on('close', () => forward.destroy());
    asked.pipe(forward);
  });
}

export async function guarding(stage) {
  const { BASE, KEY, api, context, doing, heading, menu, page, press, visitor, wrongs } = stage;

  await doing('another site cannot use the cookie', async () => {
    const server = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Elsewhere</title>'));
    const port = await listening(server);
    const { hostname } = new URL(BASE);
    // Another port is another origin of the same site: the browser sends the cookie, and the gateway refuses it.
    const beside = await ask(context, `http://${hostname}:${port}/`, BASE);
    assert.equal(beside.read, 'nothing');
    assert.equal(beside.status, 403);
    const elsewhere = await ask(context, `http://${hostname === 'localhost' ? '127.0.0.1' : 'localhost'}:${port}/`, BASE);
    assert.equal(elsewhere.read, 'nothing');
    // No cookie came.
    assert.equal(elsewhere.status, 401);
    assert.equal((await api('GET', '/api/sends')).body.paused, false);
    server.closeAllConnections();
    server.close();
  });

  await doing('the page works under a path of a proxy', async () => {
    const strays = [];
    const server = proxy(BASE, strays);
    const base = `http://127.0.0.1:${await listening(server)}/gate`;
    const guest = await visitor(base);
    await guest.page.goto(`${base}/`);
    await guest.page.getByLabel('API key').fill(KEY);
    await guest.page.getByRole('button', { name: 'Log in' }).click();
    await guest.page.getByRole('link', { name: 'bakery' }).waitFor();
    await guest.page.getByText('● Live').first().waitFor();
    // These load further files.
    await guest.page.getByRole('link', { name: 'Lanes' }).click();
    await guest.page.getByRole('img', { name: /Attempts per minute/ }).locator('canvas').waitFor();
    await guest.page.getByRole('navigation').locator('select').first().selectOption('de');
    await guest.page.getByRole('heading', { name: 'Warteschlangen', level: 1 }).waitFor();
    assert.deepEqual(guest.wrongs, []);
    assert.deepEqual(strays, []);
    await guest.context.close();
    server.closeAllConnections();
    server.close();
  });

  await doing('a stream that is refused is asked for again', async () => {
    const is = (url) => url.pathname.endsWith('/api/events');
    await page.goto(`${BASE}/#/numbers`);
    await page.route(is, (route) => route.fulfill({ status: 503, body: '' }));
    await page.reload();
    await page.getByText('Connection lost; it comes back by itself').first().waitFor();
    await page.unroute(is);
    await page.getByText('● Live').first().waitFor();
    assert.ok(wrongs.splice(0).every((wrong) => wrong.includes('503')));
  });

  await doing('an address that nobody wrote breaks nothing', async () => {
    await page.goto(`${BASE}/#/%`);
    await page.reload();
    await heading('Numbers');
  });

  await doing('a dialog keeps the focus, and gives it back', async () => {
    await menu('Numbers');
    const button = page.getByRole('button', { name: 'Link a number' });
    await button.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    for (let time = 0; time < 6; time++) {
      await page.keyboard.press('Tab');
      const inside = await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest('dialog') !== null);
      assert.ok(inside, 'the focus left the dialog');
    }
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Link a number');
  });

  await doing('a secret is copied in a dialog where browsers have no clipboard', async () => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: BASE });
    await menu('Webhooks');
    await press('Add a webhook');
    const dialog = page.getByRole('dialog');
    await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true }));
    await dialog.getByRole('button', { name: /^Copy: Secret/ }).click();
    await dialog.getByText('Copied', { exact: true }).waitFor({ state: 'attached' });
    const copied = await page.evaluate(() => delete navigator.clipboard && navigator.clipboard.readText());
    assert.equal(copied, await dialog.locator('code').textContent());
    await press('Cancel', dialog);
  });
}
