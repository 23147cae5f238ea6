// The dashboard in a browser, on the real program and a simulated WhatsApp. The Rust test `dashboard` starts all of it
// and names it: BASE (the gateway), KEY (an admin key), LINK (a login link), PHONES (the control surface of the
// simulated network), PLUGIN (a package). STEPS, an expression, runs those steps alone whose names fit,
// with those that most others build on.
import { setStage } from './stage.mjs';
import { campaigning } from './steps/campaign.mjs';
import { delivering, receiving } from './steps/deliver.mjs';
import { poisoning } from './steps/hostile.mjs';
import { keeping, leaving } from './steps/keep.mjs';
import { linking } from './steps/link.mjs';
import { guarding } from './steps/guard.mjs';
import { visiting } from './steps/roles.mjs';
import { talking } from './steps/talk.mjs';

const stage = await setStage();
const { page } = stage;
try {
  await linking(stage);
  await receiving(stage);
  await talking(stage);
  await delivering(stage);
  await campaigning(stage);
  await visiting(stage);
  await guarding(stage);
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
  // A step that failed may have left a server that listens.
  process.exit();
}
