// What the steps share: the browser, the gateway, the simulated phones, and a receiver of webhooks.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import jsQR from 'jsqr';
import { isSound, launch, visitor } from './browser.mjs';

const { BASE, KEY, LINK, PHONES, PLUGIN } = process.env;
export const NUMBER = '4915550001000';
export const MIA = '4917012345678';
export const HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>';

/** Steps that most others build on: they run also when only some are asked for. */
const NEEDED = new Set([
  'a key logs in',
  'a number is linked by its QR code',
  'a receiver is added and verified',
  'a message comes in, is shown as text, and is answered',
]);

const json = { 'content-type': 'application/json' };

/** The control surface of the simulated network. */
async function phones(path, body) {
  const options = body === undefined ? {} : { method: 'POST', headers: json, body: JSON.stringify(body) };
  const answer = await fetch(`${PHONES}${path}`, options);
  assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
}

/** The API, with the admin's key or another. */
async function api(method, path, body, key = KEY) {
  const options = { method, headers: { ...json, 'x-api-key': key }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const answer = await fetch(`${BASE}${path}`, options);
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

/** A receiver that can be broken; what it answers when it is broken is markup. */
async function receive() {
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
  return { receiver, server, hook: `http://127.0.0.1:${server.address().port}/hook` };
}

/** What the code on the screen says, read from its picture. */
async function readQr(page) {
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

/** Opens the browser; `doing` runs a step, after which nothing may be wrong with the page. */
export async function setStage() {
  const browser = await launch();
  const { page, context, wrongs } = await visitor(browser, BASE);
  const { receiver, server, hook } = await receive();
  const stage = { BASE, KEY, LINK, PHONES, PLUGIN, browser, page, context, wrongs, receiver, hook, phones, api, step: '' };
  const only = process.env.STEPS && new RegExp(process.env.STEPS);
  return Object.assign(stage, {
    seen: (text, options = {}) => page.getByText(text, { exact: true, ...options }).first().waitFor(),
    press: (name, within = page) => within.getByRole('button', { name, exact: true }).first().click(),
    menu: (name) => page.getByRole('navigation').getByRole('link', { name, exact: true }).click(),
    heading: (name) => page.getByRole('heading', { name, exact: true, level: 1 }).waitFor(),
    readQr: () => readQr(page),
    sessionOf: async (name) => (await api('GET', '/api/sessions')).body.find((of) => of.name === name).id,
    isSound: (name) => isSound(page, name),
    visitor: (base = BASE) => visitor(browser, base),
    noMarkup: async (about) => {
      const count = await page.evaluate(() => document.querySelectorAll('img[src="x"], body script').length);
      assert.equal(count, 0, `${about}: markup became an element`);
    },
    /** Whether steps of this kind were asked for. */
    wants: (kind) => !only || only.source.includes(kind),
    doing: async (name, work) => {
      if (only && !only.test(name) && !NEEDED.has(name)) return;
      stage.step = name;
      const began = performance.now();
      await work();
      assert.deepEqual(wrongs, [], name);
      console.log(`${name}: ${Math.round(performance.now() - began)} ms`);
    },
    /** A text that a button of the page saves as a file. */
    saved: async (button) => {
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: button, exact: true }).first().click()]);
      const parts = [];
      for await (const part of await download.createReadStream()) parts.push(part);
      return Buffer.concat(parts).toString();
    },
    end: async () => {
      await browser.close();
      server.close();
    },
  });
}
