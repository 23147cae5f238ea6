// Reads everything about one message that the API tells.
import { call, Refused } from '../api/client';
import type { AuditEntry, Delivery, Message, Webhook } from '../api/types.gen';
import { phoneOf, readKey } from '../rules/lookup';
import { isAdmin, who } from '../state/who';
import type { Recipient } from './receipts';

/** Pages of a chat's deliveries that are looked through, per webhook. */
const PAGES_MAX = 20;
const PAGE = 100;
const MINUTE_MS = 60_000;
const LOOKED_AT_MS = 14 * 86_400_000;
/** Messages of a number that are offered. */
const OFFERED = 50;

export type Found = {
  message: Message;
  audit: AuditEntry | undefined;
  deliveries: Delivery[];
  urls: Record<string, string>;
  whole: boolean;
  /** Of a message of this account. */
  recipients: Recipient[] | undefined;
};

/** The message that a text leads to, those of a number to choose from, or nothing. */
export async function find(session: string, text: string, signal: AbortSignal): Promise<Found | Message[] | null> {
  const direct = await withId(session, text, signal);
  if (direct) return about(direct, signal);
  const key = await keyOf(text, signal);
  const named = key && (await withId(key.session, key.message, signal));
  if (named) return about(named, signal);
  const phone = phoneOf(text);
  if (!phone) return null;
  const query = { chatId: `${phone}@c.us`, limit: OFFERED, inlineMedia: false };
  const { messages } = await call('GET /api/sessions/{sessionId}/messages', { path: { sessionId: session }, query, signal });
  const known = messages.filter(({ waMessageId }) => waMessageId);
  return known.length ? known : null;
}

async function withId(session: string, id: string, signal: AbortSignal): Promise<Message | undefined> {
  const query = { messageId: id, limit: 1, inlineMedia: false };
  const { messages } = await call('GET /api/sessions/{sessionId}/messages', { path: { sessionId: session }, query, signal });
  return messages[0]?.waMessageId ? messages[0] : undefined;
}

/** What the idempotency key of an event says; it may be named by the event's or a delivery's id. */
async function keyOf(text: string, signal: AbortSignal) {
  const path = { id: text };
  if (/^evt_[0-9a-f-]{36}$/.test(text)) return readKey((await call('GET /api/events/{id}', { path, signal })).idempotencyKey);
  if (/^dlv_[0-9a-f-]{36}$/.test(text)) return readKey((await call('GET /api/deliveries/{id}', { path, signal })).idempotencyKey);
  return readKey(text);
}

async function about(message: Message, signal: AbortSignal): Promise<Found> {
  const path = { sessionId: message.sessionId };
  const webhooks = await call('GET /api/sessions/{sessionId}/webhooks', { path, signal });
  const all = await Promise.all(webhooks.map((webhook) => ofWebhook(webhook, message, signal)));
  return {
    message,
    audit: await asked(message, signal),
    deliveries: all.flatMap(({ deliveries }) => deliveries),
    urls: Object.fromEntries(webhooks.map(({ id, url }) => [id, url])),
    whole: all.every(({ whole }) => whole),
    recipients: await told(message, signal),
  };
}

/** The deliveries of the message's events: each event's idempotency key names the message. */
async function ofWebhook(webhook: Webhook, message: Message, signal: AbortSignal) {
  const began = Date.parse(message.createdAt);
  const query = {
    chatId: message.chatId,
    since: new Date(began - MINUTE_MS).toISOString(),
    until: new Date(Math.min(Date.now() + MINUTE_MS, began + LOOKED_AT_MS)).toISOString(),
    limit: PAGE,
  };
  const deliveries: Delivery[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < PAGES_MAX; page++) {
    const next: { deliveries: Delivery[]; nextCursor: string | null } = await call('GET /api/webhooks/{id}/deliveries', {
      path: { id: webhook.id },
      query: { ...query, ...(cursor ? { cursor } : {}) },
      signal,
    });
    deliveries.push(...next.deliveries.filter((of) => isAbout(of, message)));
    cursor = next.nextCursor;
    if (!cursor) break;
  }
  return { deliveries, whole: !cursor };
}

function isAbout(delivery: Delivery, message: Message): boolean {
  return delivery.idempotencyKey.split('_').includes(message.waMessageId!);
}

/** The call that sent it; only the audit knows, and only admins see that. */
async function asked(message: Message, signal: AbortSignal): Promise<AuditEntry | undefined> {
  if (!isAdmin.value || message.direction !== 'outgoing' || who.value?.allowedSessions.length) return undefined;
  const query = { action: 'message_sent', sessionId: message.sessionId, limit: 200 };
  const { data } = await call('GET /api/audit', { query, signal });
  return data.find(({ metadata }) => metadata?.['messageId'] === message.waMessageId);
}

/** What each recipient told; in a group, also who told nothing. */
async function told(message: Message, signal: AbortSignal): Promise<Recipient[] | undefined> {
  if (message.direction !== 'outgoing' || !message.waMessageId) return undefined;
  const path = { sessionId: message.sessionId, chatId: message.chatId, messageId: message.waMessageId };
  const { recipients } = await call('GET /api/sessions/{sessionId}/messages/{chatId}/{messageId}/receipts', { path, signal });
  if (!message.chatId.endsWith('@g.us')) return recipients.map((of) => ({ ...of, name: undefined }));
  const members = await membersOf(message, signal);
  const ids = (of: { id: string; lid?: string | null }) => [of.id, of.lid].filter(Boolean);
  const is = (one: { id: string; lid?: string | null }) => (other: { id: string; lid?: string | null }) =>
    ids(other).some((id) => ids(one).includes(id));
  const silent = members.filter((member) => !recipients.some(is(member)));
  return [
    ...recipients.map((of) => ({ ...of, name: members.find(is(of))?.name })),
    ...silent.map(({ id, lid, name, number }) => ({
      id,
      lid: lid ?? null,
      phone: number || null,
      name,
      deliveredAt: null,
      readAt: null,
      playedAt: null,
    })),
  ];
}

/** The other members of the group, where the account is still in it. */
async function membersOf({ sessionId, chatId, from }: Message, signal: AbortSignal) {
  // A session that does not run cannot tell: who told something is shown all the same.
  const missing = (error: Error) => {
    if (error instanceof Refused) return undefined;
    throw error;
  };
  const groups = await call('GET /api/sessions/{sessionId}/groups', { path: { sessionId }, query: { limit: 1000 }, signal }).catch(missing);
  if (!groups?.some(({ id }) => id === chatId)) return [];
  const path = { sessionId, groupId: chatId };
  const group = await call('GET /api/sessions/{sessionId}/groups/{groupId}', { path, signal }).catch(missing);
  return (group?.participants ?? []).filter(({ id, lid }) => id !== from && lid !== from);
}

