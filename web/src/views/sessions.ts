// What the views know about sessions together.
import { call } from '../api/client';
import type { LoggedEvent, Session } from '../api/types.gen';
import type { Tone } from '../parts/ui';
import { useLoad, type Loaded } from '../state/load';
import { who } from '../state/who';

export const SESSIONS_MAX = 1000;

/** What was read last, and by whom: a view shows it at once, and what is new when it comes. */
let last: { key: string; sessions: Session[] } | undefined;

export function useSessions(): Loaded<Session[]> {
  const key = who.value?.apiKeyId ?? '';
  const read = async (signal: AbortSignal) => {
    const sessions = await call('GET /api/sessions', { query: { limit: SESSIONS_MAX }, signal });
    last = { key, sessions };
    return sessions;
  };
  return useLoad(read, [key], ofSessions, 15_000, last?.key === key ? last.sessions : undefined);
}

export type NamedSession = Pick<Session, 'id' | 'name' | 'phone'>;
const EVENTS_LOOKED_AT = 500;

/** What a list to choose from needs. A key that is limited to chats may not list sessions. */
export function useNames(): Loaded<NamedSession[]> {
  const login = who.value;
  const read = async (signal: AbortSignal): Promise<NamedSession[]> => {
    if (!login?.allowedChats.length) return call('GET /api/sessions', { query: { limit: SESSIONS_MAX }, signal });
    const ids = login.allowedSessions.length ? login.allowedSessions : await heardOf(signal);
    return ids.map((id) => ({ id, name: id, phone: null }));
  };
  const known = last && last.key === login?.apiKeyId ? last.sessions : undefined;
  return useLoad(read, [login?.apiKeyId], ofSessions, 15_000, known as NamedSession[] | undefined);
}

/** Sessions of events that the key sees, where it names none itself. */
async function heardOf(signal: AbortSignal): Promise<string[]> {
  const { events } = await call('GET /api/events/pull', { query: { after: '0', limit: EVENTS_LOOKED_AT }, signal });
  return [...new Set(events.map(({ sessionId }) => sessionId))];
}

/** Events after which the list of sessions is another one. */
export function ofSessions(event: LoggedEvent): boolean {
  return event.event.startsWith('session.') && event.event !== 'session.qr';
}

export const TONES: Record<Session['status'], Tone> = {
  created: 'calm',
  initializing: 'busy',
  qr_ready: 'warn',
  authenticating: 'busy',
  ready: 'good',
  disconnected: 'calm',
  action_required: 'bad',
  failed: 'bad',
};

/** What somebody may want to see alone. */
export const GROUPS = ['all', 'ready', 'scan', 'person', 'restricted', 'connecting', 'down'] as const;
export type SessionGroup = (typeof GROUPS)[number];

export function isIn(group: SessionGroup, session: Session): boolean {
  switch (group) {
    case 'all':
      return true;
    case 'ready':
      return session.status === 'ready';
    case 'scan':
      return session.status === 'qr_ready';
    case 'person':
      return session.status === 'action_required' || session.status === 'failed';
    case 'restricted':
      return session.restriction !== null;
    case 'connecting':
      return session.status === 'initializing' || session.status === 'authenticating';
    case 'down':
      return session.status === 'created' || session.status === 'disconnected';
  }
}
