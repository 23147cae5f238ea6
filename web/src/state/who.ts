// Who is logged in.
import { computed, effect, signal } from '@preact/signals';
import { call, Refused, whenLoggedOut, type Login } from '../api/client';
import { replace } from './route';

/** `undefined` until it is known, `null` when nobody is. */
export const who = signal<Login | null | undefined>(undefined);
export const isOperator = computed(() => who.value?.role === 'operator' || who.value?.role === 'admin');
export const isAdmin = computed(() => who.value?.role === 'admin');
/** Why nobody is logged in, when a link did not work. */
export const linkFailed = signal(false);

/** Why it is not known whether somebody is: the gateway does not answer. */
export const unknown = signal<Error | undefined>(undefined);

whenLoggedOut(() => (who.value = null));

/** Whether this browser was logged in when the page was shown last: a stranger's page need not ask who it is. */
const MARK = 'waypost.loggedIn';
function wasLoggedIn(): boolean {
  try {
    return localStorage.getItem(MARK) !== null;
  } catch {
    return true;
  }
}
effect(() => {
  if (who.value === undefined) return;
  try {
    if (who.value) localStorage.setItem(MARK, '1');
    else localStorage.removeItem(MARK);
  } catch {
    // The browser keeps nothing; it is asked each time then.
  }
});

/** A link's text stands behind `#login=`: it is used up, and taken out of the address. */
export async function begin() {
  const token = /^#login=(.+)$/.exec(location.hash)?.[1];
  if (token) {
    replace('#/');
    try {
      who.value = await call('POST /api/auth/session', { body: { token } });
      return;
    } catch (error) {
      linkFailed.value = error instanceof Refused;
    }
    if (who.value) return;
  }
  if (!wasLoggedIn()) {
    who.value = null;
    return;
  }
  unknown.value = undefined;
  try {
    who.value = await call('GET /api/auth/session');
  } catch (error) {
    // A gateway that does not answer has not forgotten this browser.
    if (isOver(error)) who.value = null;
    else unknown.value = error as Error;
  }
}

function isOver(error: unknown): boolean {
  return error instanceof Refused && error.status >= 400 && error.status < 500 && error.status !== 429;
}

// A link that is opened where the page is shown already changes what stands behind `#` alone.
addEventListener('hashchange', () => {
  if (location.hash.startsWith('#login=')) void begin();
});

export async function logIn(apiKey: string) {
  who.value = await call('POST /api/auth/session', { body: { apiKey } });
  linkFailed.value = false;
}

/** While the gateway does not answer, the browser stays logged in, and is told so. */
export async function logOut() {
  try {
    await call('DELETE /api/auth/session');
  } catch (error) {
    if (!isOver(error)) throw error;
  }
  who.value = null;
}
