// Logging in, and linking numbers.
import assert from 'node:assert/strict';
import { HOSTILE, NUMBER } from '../stage.mjs';

export async function linking(stage) {
  const { BASE, KEY, LINK, context, doing, heading, isSound, menu, noMarkup, page, phones, press, readQr, seen, wrongs } = stage;

  await doing('a wrong key is refused', async () => {
    await page.goto(`${BASE}/`);
    await heading('Waypost');
    await isSound('login');
    await page.getByLabel('API key').fill('owa_k1_wrong');
    await press('Log in');
    await seen('Invalid API key');
    // The browser itself notes the refusal.
    assert.equal(wrongs.splice(0).length, 1);
  });

  await doing('a link logs in once, and leaves the address', async () => {
    // Only what stands behind # is another one: the page is not loaded again.
    await page.goto(LINK);
    await heading('Numbers');
    assert.ok(!page.url().includes('login='), page.url());
    const [cookie] = await context.cookies();
    assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite], ['waypost_session', true, 'Strict']);
    await press('Log out');
    await page.goto(LINK);
    await seen('This link was used already, or its ten minutes are over.');
    assert.equal(wrongs.splice(0).length, 1);
  });

  await doing('a key logs in', async () => {
    await page.goto(`${BASE}/`);
    await page.getByLabel('API key').fill(KEY);
    await press('Log in');
    await seen('No number is linked yet');
    await seen('waypost sandbox');
    await isSound('first-run');
  });

  await doing('a number is linked by its QR code', async () => {
    await phones('/accounts', { phone: NUMBER, name: HOSTILE });
    await press('Link a number');
    await page.getByLabel('Name', { exact: true }).fill('bakery');
    await press('Create and show the code');
    const code = await readQr();
    await page.getByRole('timer').getByText('A new code comes in').waitFor();
    await isSound('pairing');
    await phones(`/accounts/${NUMBER}/scan-qr`, { qr: code });
    await page.getByText('● Ready').first().waitFor();
    await noMarkup('the name of an account');
    await isSound('number');
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
    await isSound('pairing-code');
    await phones(`/accounts/${other}/enter-code`, { code: code.replace(/\W/g, '') });
    await page.getByText('● Ready').first().waitFor();
  });

  await doing('an account that asks for its passkey is linked', async () => {
    const vault = '4915550003000';
    await phones('/accounts', { phone: vault, name: 'Vault' });
    await phones(`/accounts/${vault}/passkey`, { wanted: true });
    await menu('Numbers');
    await press('Link a number');
    await page.getByLabel('Name', { exact: true }).fill('vault');
    await press('Create and show the code');
    await phones(`/accounts/${vault}/scan-qr`, { qr: await readQr() });
    await page.getByRole('heading', { name: 'This account asks for its passkey' }).waitFor();
    await page.getByRole('timer').getByText('left for this step').waitFor();
    await isSound('passkey');
    // What a browser with the passkey would answer, on a page of WhatsApp.
    const request = await page.getByLabel('Request for the browser', { exact: true }).textContent();
    const options = JSON.parse(/RequestOptionsFromJSON\((\{.*?\})\)/s.exec(request)[1]);
    const said = { type: 'webauthn.get', challenge: options.challenge, origin: 'https://web.whatsapp.com' };
    const id = options.allowCredentials[0].id;
    const response = { clientDataJSON: Buffer.from(JSON.stringify(said)).toString('base64url'), authenticatorData: 'AAAA', signature: 'AAAA', userHandle: null };
    const answer = { id, rawId: id, type: 'public-key', authenticatorAttachment: 'platform', clientExtensionResults: {}, response };
    await page.getByLabel('Answer of the browser').fill(HOSTILE);
    await seen('This is no JSON.');
    await page.getByLabel('Answer of the browser').fill(`'${JSON.stringify(answer)}'`);
    await press('Hand it to WhatsApp');
    const code = await page.locator('.typed strong').textContent();
    assert.equal(code, (await phones(`/accounts/${vault}/passkey`)).code);
    await isSound('passkey-code');
    await press('Yes, it is the same');
    await page.getByText('● Ready').first().waitFor();
  });

  await doing('the fleet is filtered and found', async () => {
    await menu('Numbers');
    await page.getByRole('link', { name: 'florist' }).waitFor();
    await page.getByLabel('Find by name or number').fill('5550001');
    await page.getByRole('link', { name: 'florist' }).waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'bakery' }).waitFor();
    await page.getByLabel('Find by name or number').fill('');
    await isSound('numbers');
  });

  await doing('a number shows what WhatsApp lets it do', async () => {
    const hour = Math.round(Date.now() / 1000) + 3600;
    await phones(`/accounts/${NUMBER}/limits`, {
      timelock: { enforcement: 'BIZ_QUALITY', ends: hour },
      newChats: { used: 3, total: 10, cycle_ends: hour },
    });
    await menu('Numbers');
    await page.getByText('▲ Restricted').first().waitFor();
    await page.getByRole('link', { name: 'bakery' }).click();
    await page.getByText('No first messages to strangers').waitFor();
    await page.getByText('3 of 10 begun, 7 left').waitFor();
    await isSound('number-limits');
    await phones(`/accounts/${NUMBER}/limits`, { timelock: null, newChats: null });
    await page.getByText('None that is known').waitFor();
  });
}
