// Routes that openapi.json does not have yet. A view says that this gateway lacks them when they answer 404.
import type { Session as Documented, WebhookTest as DocumentedTest } from './types.gen';

export const LANE_STATES = ['delivering', 'due', 'retry', 'held', 'breaker', 'paused', 'inactive'] as const;
/** Why a lane waits, or that it does not. */
export type LaneState = (typeof LANE_STATES)[number];

export type LaneHead = { deliveryId: string; event: string; sequence: number; attempts: number; lastError: string | null };

export type Lane = {
  lane: string;
  webhookId: string;
  url: string;
  sessionId: string;
  /** The chat, when the lane is one chat's. */
  chatId: string | null;
  /** Deliveries of it that are not finished. */
  waiting: number;
  oldestAt: string;
  head: LaneHead;
  why: LaneState;
  until: string | null;
  /** The process that holds it. */
  owner: string | null;
  leaseUntil: string | null;
};

export type LanePage = { lanes: Lane[]; total: number; nextCursor: string | null };

export type RatePoint = { at: string; delivered: number; failed: number; waiting: number; oldestAgeMs: number };
/** What was delivered, in buckets; `since` is when this process began to count. */
export type Rates = { bucketMs: number; since: string; points: RatePoint[] };

/** What was sent on this day of UTC; a limit is null where there is none, new chats where they are not counted. */
export type SendsToday = {
  sent: number;
  sentMax?: number | null;
  newChats: number | null;
  newChatsMax: number | null;
  resetsAt?: string;
};
export type Session = Documented & { sendsToday?: SendsToday };

/** What a receiver answered to a test. */
export type ReceiverAnswer = { status: number; durationMs: number; headers: Record<string, string> | [string, string][]; excerpt: string };
export type WebhookTest = DocumentedTest & { answer?: ReceiverAnswer | null };

/** Whether sends are paused, since when, by the key of which name, and why. */
export type Sends = { paused: boolean; since: string | null; by: string | null; reason: string | null };

/** A process that shares the ledger. */
export type Process = {
  id: string;
  url: string | null;
  role: string;
  version?: string;
  sessions: number;
  lanes: number;
  leaseUntil: string | null;
  /** Whether it is the one that answers. */
  self: boolean;
};

export interface Coming {
  'GET /api/lanes': {
    query: { sessionId?: string; webhookId?: string; why?: string; limit?: number; cursor?: string };
    body: undefined;
    answer: LanePage;
  };
  'GET /api/lanes/rates': { query: { minutes?: number }; body: undefined; answer: Rates };
  'GET /api/processes': { query: object; body: undefined; answer: Process[] };
  'GET /api/sends': { query: object; body: undefined; answer: Sends };
  'POST /api/sends/pause': { query: object; body: { reason?: string }; answer: Sends };
  'POST /api/sends/resume': { query: object; body: undefined; answer: Sends };
  'POST /api/auth/api-keys/revoke-all': { query: object; body: undefined; answer: { revoked: number; kept: string[] } };
  'GET /api/sessions': { query: { limit?: number; offset?: number }; body: undefined; answer: Session[] };
  'GET /api/sessions/{sessionId}': { query: object; body: undefined; answer: Session };
  'POST /api/sessions/{sessionId}/webhooks/{id}/test': { query: object; body: undefined; answer: WebhookTest };
}
