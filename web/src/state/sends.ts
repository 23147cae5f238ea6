// Whether sends are paused, for all pages together.
import { signal } from '@preact/signals';
import { call, Refused } from '../api/client';
import type { Sends } from '../api/types.gen';
import { who } from './who';

const EVERY_MS = 15_000;

/** Nothing until it is known, or where this gateway or key does not tell. */
export const sends = signal<Sends | undefined>(undefined);
let timer: ReturnType<typeof setInterval> | undefined;

export async function lookAtSends() {
  try {
    sends.value = await call('GET /api/sends');
  } catch (error) {
    // A gateway without it, or a key that may not know: not asked again.
    if (error instanceof Refused && (error.status === 404 || error.status === 403)) clearInterval(timer);
  }
}

/** Looks now and then, until the returned function is called. */
export function watchSends(): () => void {
  // Who is limited to chats may not know.
  if (who.value?.allowedChats.length) return () => {};
  void lookAtSends();
  timer = setInterval(() => document.hidden || void lookAtSends(), EVERY_MS);
  const seen = () => document.hidden || void lookAtSends();
  document.addEventListener('visibilitychange', seen);
  return () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', seen);
    sends.value = undefined;
  };
}
