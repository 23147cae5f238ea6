// How the pages ask the gateway. Paths are relative, so that everything works under a proxy's prefix.
import type { Role, Routes as Documented } from './types.gen';

export type Login = {
  apiKeyId: string;
  name: string;
  role: Role;
  allowedSessions: string[];
  allowedChats: string[];
  expiresAt: string | null;
  version: string;
};

/** Routes that a browser alone uses. */
interface OfBrowsers {
  'POST /api/auth/session': { path: object; query: object; body: { apiKey?: string; token?: string }; answer: Login };
  'GET /api/auth/session': { path: object; query: object; body: undefined; answer: Login };
  'DELETE /api/auth/session': { path: object; query: object; body: undefined; answer: null };
  'POST /api/auth/session/link': { path: object; query: object; body: undefined; answer: { token: string; expiresAt: string } };
}

type Routes = Omit<Documented, keyof OfBrowsers> & OfBrowsers;
export type Route = keyof Routes;
export type Answer<R extends Route> = Routes[R]['answer'];

/** The parts of the path, and a body, are asked for where the route has them. */
type Asked<R extends Route> = { query?: Routes[R]['query']; signal?: AbortSignal } & (object extends Routes[R]['path']
  ? { path?: undefined }
  : { path: Routes[R]['path'] }) &
  (undefined extends Routes[R]['body'] ? { body?: undefined } : { body: Routes[R]['body'] });

/** An answer that is not a success, in words. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problems: string[],
    readonly code?: string,
    readonly requestId?: string,
  ) {
    super(problems.join('; '));
  }
}

/** Whether a route is not there: an older gateway is asked, or one without what it is for. */
export function isMissing(error: Error | undefined): boolean {
  return error instanceof Refused && error.status === 404;
}

let onLoggedOut = () => {};
/** Told when the gateway no longer knows this browser. */
export function whenLoggedOut(told: () => void) {
  onLoggedOut = told;
}

/** The address of a path of the API, with its parts filled in. */
export function address(path: string, parts: Record<string, string> = {}, query: object = {}): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(parts[name] ?? ''));
  const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const text = new URLSearchParams(asked.map(([name, value]) => [name, String(value)])).toString();
  return filled.slice(1) + (text ? `?${text}` : '');
}

/** By how much the gateway's clock is ahead of this browser's, as far as its answers tell: they name whole seconds. */
let ahead = 0;
const AHEAD_MIN_MS = 2000;

function compareClocks(answer: Response, began: number) {
  const said = Date.parse(answer.headers.get('date') ?? '');
  if (Number.isNaN(said)) return;
  const off = said + 500 - (began + Date.now()) / 2;
  ahead = Math.abs(off) < AHEAD_MIN_MS ? 0 : off;
}

/** The time by the gateway's clock: ends of codes and leases are told by it. */
export function gatewayNow(): number {
  return Date.now() + ahead;
}

export async function call<R extends Route>(route: R, ...rest: object extends Asked<R> ? [asked?: Asked<R>] : [asked: Asked<R>]): Promise<Answer<R>> {
  const asked = (rest[0] ?? {}) as { path?: Record<string, string>; query?: object; body?: unknown; signal?: AbortSignal };
  const [method, path] = route.split(' ') as [string, string];
  const options: RequestInit = { method, credentials: 'same-origin', signal: asked.signal ?? null };
  if (asked.body !== undefined) {
    options.headers = { 'content-type': 'application/json' };
    options.body = JSON.stringify(asked.body);
  }
  const began = Date.now();
  const answer = await fetch(address(path, asked.path, asked.query), options);
  compareClocks(answer, began);
  const text = await answer.text();
  if (answer.ok) return (text ? JSON.parse(text) : null) as Answer<R>;
  const refused = read(answer.status, text);
  if (answer.status === 401 && route !== 'POST /api/auth/session') onLoggedOut();
  throw refused;
}

/** What a refusal says. */
export function read(status: number, text: string): Refused {
  try {
    const body = JSON.parse(text) as { message?: string | string[]; code?: string; requestId?: string };
    const problems = [body.message ?? []].flat();
    return new Refused(status, problems.length ? problems : [`HTTP ${status}`], body.code, body.requestId);
  } catch {
    return new Refused(status, [`HTTP ${status}`]);
  }
}
