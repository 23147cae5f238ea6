// The dashboard in a browser, on the real program and a simulated WhatsApp. The Rust test `dashboard` starts all of it
// and names it: BASE (the gateway), KEY (an admin key), LINK (a login link), PHONES (the control surface of the
// simulated network), PLUGIN (a package). STEPS, an expression, runs those steps alone whose names fit.
import { can, canSends } from './canned.mjs';
import { setStage } from './stage.mjs';
import { campaigning } from './steps/campaign.mjs';
import { delivering, receiving } from './steps/deliver.mjs';
import { poisoning } from './steps/hostile.mjs';
import { keeping, leaving } from './steps/keep.mjs';
import { linking } from './steps/link.mjs';
import { talking } from './steps/talk.mjs';

const stage = await setStage();
const { page } = stage;
try {
  // What this gateway does not serve would be an error in the browser on each page.
  if (!(await stage.serves('/api/sends'))) await canSends(page);
  if (!(await stage.serves('/api/processes'))) await can(page, '/api/processes', () => []);
  if (!(await stage.serves('/api/lanes'))) {
    await can(page, '/api/lanes', () => ({ lanes: [], total: 0, nextCursor: null }));
    await can(page, '/api/lanes/rates', () => ({ bucketMs: 10_000, since: new Date().toISOString(), points: [] }));
  }
  await linking(stage);
  await receiving(stage);
  await talking(stage);
  await delivering(stage);
  await campaigning(stage);
  await keeping(stage);
  await poisoning(stage);
  await leaving(stage);
  console.log('all steps passed');
} catch (error) {
  console.error(`step "${stage.step}": ${error.stack}`);
  console.error('page errors:', stage.wrongs);
  if (process.env.WAYPOST_SHOTS) await page.screenshot({ path: `${process.env.WAYPOST_SHOTS}/failed.png` });
  console.error(await page.locator('body').innerText());
  process.exitCode = 1;
} finally {
  await stage.end();
}
