// What the views know about sessions together.
import { call } from '../api/client';
import type { LoggedEvent, Session } from '../api/types.gen';
import type { Tone } from '../parts/ui';
import { useLoad, type Loaded } from '../state/load';

export const SESSIONS_MAX = 1000;

export function useSessions(): Loaded<Session[]> {
  return useLoad((signal) => call('GET /api/sessions', { query: { limit: SESSIONS_MAX }, signal }), [], ofSessions, 15_000);
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
