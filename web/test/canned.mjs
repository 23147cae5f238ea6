// Answers with hostile texts in every place, of states that a test cannot bring about all at once.
import { HOSTILE } from './stage.mjs';

const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();
const until = (seconds) => ago(-seconds);

const WHYS = ['delivering', 'due', 'retry', 'held', 'breaker', 'paused', 'inactive'];

export function lanes() {
  const list = WHYS.map((why, at) => ({
    lane: `lane-${at} ${HOSTILE}`,
    webhookId: '0f0e0d0c-0000-4000-8000-000000000001',
    url: `https://example.com/${at}?${HOSTILE}`,
    sessionId: '0f0e0d0c-0000-4000-8000-000000000002',
    chatId: at % 2 ? `${HOSTILE}@c.us` : null,
    waiting: 10 ** at,
    oldestAt: ago(60 * at + 1),
    head: { deliveryId: `dlv_${at}`, event: 'message.received', sequence: at, attempts: at, lastError: at ? HOSTILE : null },
    why,
    until: ['retry', 'breaker', 'held'].includes(why) ? until(300) : null,
    owner: why === 'delivering' ? `node ${HOSTILE}` : null,
    leaseUntil: why === 'delivering' ? until(30) : null,
  }));
  return { lanes: list, total: list.length, nextCursor: null };
}

export function rates() {
  const points = Array.from({ length: 360 }, (_, at) => ({
    at: ago((360 - at) * 10),
    delivered: 40 + Math.round(30 * Math.sin(at / 20)),
    failed: at % 60 < 5 ? 4 : 0,
    waiting: at,
    oldestAgeMs: at * 250,
  }));
  return { bucketMs: 10_000, since: ago(4000), points };
}

/** Makes the page's requests to a path be answered here. `answer` is called with the request. */
export async function can(page, path, answer) {
  const is = (url) => url.pathname.endsWith(path);
  await page.route(is, async (route) => {
    const body = await answer(route.request());
    // The page may have gone on to another view meanwhile.
    await route.fulfill({ status: 200, contentType: 'application/json', body: JSON.stringify(body) }).catch(() => {});
  });
  return () => page.unroute(is);
}
