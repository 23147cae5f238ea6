// One message, from the call to the receivers: who asked for it, what WhatsApp said, and each attempt of each webhook.
import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { AuditEntry, Delivery, Message, Webhook } from '../api/types.gen';
import { exact } from '../parts/time';
import { Button, Code, Empty, Field, Json, Pill, Problem, Tabs, Waiting, type Tone } from '../parts/ui';
import { useLoad } from '../state/load';
import { go, link, place } from '../state/route';
import { t, word } from '../state/text';
import { isAdmin, who } from '../state/who';
import { Receipts, Refusal, type Recipient } from './receipts';
import { useSessions } from './sessions';
import { SessionChoice } from './webhooks';

/** Pages of a chat's deliveries that are looked through, per webhook. */
const PAGES_MAX = 20;
const PAGE = 100;
const MINUTE_MS = 60_000;
const LOOKED_AT_MS = 14 * 86_400_000;

/** Something that happened to the message. `ms` is how long it took, where that is known. */
type Station = { at: number; ms: number; what: string; detail: string; tone: Tone };
type Found = {
  message: Message;
  audit: AuditEntry | undefined;
  deliveries: Delivery[];
  urls: Record<string, string>;
  whole: boolean;
  /** Of a message of this account. */
  recipients: Recipient[] | undefined;
};

export function MessageView() {
  const sessions = useSessions();
  const [, session, id] = place.value.parts;
  const [wanted, setWanted] = useState(id ?? '');
  if (!sessions.data) return sessions.error ? <Problem error={sessions.error} retry={sessions.reload} /> : <Waiting />;
  const chosen = session ?? (sessions.data.find(({ phone }) => phone) ?? sessions.data[0])?.id ?? '';
  return (
    <>
      <div class="head">
        <h1>{t('nav.message')}</h1>
      </div>
      <form
        class="bar find"
        onSubmit={(event) => {
          event.preventDefault();
          if (wanted.trim()) go('message', chosen, wanted.trim());
        }}
      >
        <SessionChoice sessions={sessions.data} chosen={chosen} choose={(next) => go('message', next)} />
        <Field label={t('message.id')}>
          {(field) => <input id={field} required value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />}
        </Field>
        <Button type="submit" kind="main">
          {t('message.find')}
        </Button>
      </form>
      {session && id ? <OneMessage key={`${session} ${id}`} session={session} id={id} /> : <p class="quiet">{t('message.hint')}</p>}
    </>
  );
}

function OneMessage({ session, id }: { session: string; id: string }) {
  const { data, error, reload } = useLoad((signal) => find(session, id, signal), [session, id], (event) => event.sessionId === session, 5000);
  if (error && !data) return <Problem error={error} retry={reload} />;
  if (data === undefined) return <Waiting />;
  if (!data) return <Empty title={t('message.none')} />;
  return <Story found={data} />;
}

async function find(session: string, id: string, signal: AbortSignal): Promise<Found | null> {
  const path = { sessionId: session };
  const { messages } = await call('GET /api/sessions/{sessionId}/messages', { path, query: { messageId: id, limit: 1, inlineMedia: false }, signal });
  const message = messages[0];
  if (!message?.waMessageId) return null;
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

function stations({ message, audit, deliveries, urls }: Found): Station[] {
  const list: Station[] = [];
  const add = (at: string, what: string, detail: string, tone: Tone = 'calm', ms = 0) =>
    list.push({ at: Date.parse(at), ms, what, detail, tone });
  if (message.direction === 'incoming' && message.timestamp) {
    add(new Date(message.timestamp * 1000).toISOString(), t('message.said'), message.author ?? message.from);
  }
  add(message.createdAt, t('message.stored'), message.waMessageId ?? '');
  if (audit) add(audit.createdAt, t('message.asked'), [audit.apiKeyName, audit.path, audit.ipAddress].filter(Boolean).join(' · '));
  const told = new Map(deliveries.map((of) => [of.eventId, of]));
  for (const { event, occurredAt, idempotencyKey } of [...told.values()].reverse()) {
    const last = idempotencyKey.split('_').at(-1)!;
    const detail = event === 'message.ack' || event === 'message.receipt' ? word('message', last) : '';
    add(occurredAt, event, detail, event === 'message.failed' ? 'bad' : 'good');
  }
  for (const delivery of deliveries) {
    for (const attempt of delivery.attempts) {
      const good = attempt.statusCode !== null && attempt.statusCode >= 200 && attempt.statusCode < 300;
      const result = attempt.statusCode ?? word('trouble', attempt.errorKind ?? '');
      add(attempt.at, `${delivery.event} → ${urls[delivery.webhookId]}`, `${result}, ${attempt.durationMs} ms`, good ? 'good' : 'bad', attempt.durationMs);
    }
  }
  return list.sort((one, other) => one.at - other.at);
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
  const groups = await call('GET /api/sessions/{sessionId}/groups', { path: { sessionId }, query: { limit: 1000 }, signal });
  if (!groups.some(({ id }) => id === chatId)) return [];
  const path = { sessionId, groupId: chatId };
  const { participants } = await call('GET /api/sessions/{sessionId}/groups/{groupId}', { path, signal });
  return participants.filter(({ id, lid }) => id !== from && lid !== from);
}

type Shape = 'waterfall' | 'table' | 'json';

function Story({ found }: { found: Found }) {
  const [shape, setShape] = useState<Shape>('waterfall');
  const { message } = found;
  const list = stations(found);
  return (
    <>
      <section class="card">
        <div class="row">
          <Pill tone={message.status === 'failed' ? 'bad' : message.status === 'pending' ? 'busy' : 'good'}>{word('message', message.status)}</Pill>
          <Code>{message.waMessageId!}</Code>
          <a href={link('inbox', message.sessionId, message.chatId)}>{message.chatName ?? message.chatId}</a>
        </div>
        <p class="body" dir="auto">{message.body ?? `[${word('kind', message.type)}]`}</p>
      </section>
      <Refusal message={message} />
      {found.recipients && <Receipts recipients={found.recipients} />}
      {!found.whole && <p class="problem">{t('message.notWhole')}</p>}
      <Tabs
        label={t('message.shape')}
        tabs={(['waterfall', 'table', 'json'] as const).map((id) => ({ id, label: t(`message.${id}`) }))}
        chosen={shape}
        choose={setShape}
      >
        {shape === 'waterfall' && <Waterfall list={list} />}
        {shape === 'table' && <Stations list={list} />}
        {shape === 'json' && <Json value={found} label={t('nav.message')} />}
      </Tabs>
    </>
  );
}

function after(at: number, first: number): string {
  const ms = at - first;
  return ms < 10_000 ? `+${ms} ms` : `+${Math.round(ms / 1000)} s`;
}

function Waterfall({ list }: { list: Station[] }) {
  const first = list[0]?.at ?? 0;
  const end = Math.max(...list.map(({ at, ms }) => at + ms), first + 1);
  // What comes late would press what comes first together: time is shown by its logarithm.
  const scale = (at: number) => (100 * Math.log1p(at - first)) / Math.log1p(end - first);
  return (
    <ol class="waterfall">
      {list.map((station, at) => (
        <li key={at}>
          <span class="one-line">{station.what}</span>
          <span class="quiet">{station.detail}</span>
          <span class="quiet when">{after(station.at, first)}</span>
          <span class="track" aria-hidden="true">
            <span
              class={station.tone}
              style={{
                insetInlineStart: `${scale(station.at)}%`,
                inlineSize: `${Math.max(0.8, scale(station.at + station.ms) - scale(station.at))}%`,
              }}
            />
          </span>
        </li>
      ))}
    </ol>
  );
}

function Stations({ list }: { list: Station[] }) {
  const first = list[0]?.at ?? 0;
  return (
    <div class="table-box" tabIndex={0} role="region" aria-label={t('message.table')}>
      <table class="loose">
        <thead>
          <tr>
            <th scope="col">{t('when')}</th>
            <th scope="col">{t('message.after')}</th>
            <th scope="col">{t('message.what')}</th>
            <th scope="col">{t('message.detail')}</th>
          </tr>
        </thead>
        <tbody>
          {list.map((station, at) => (
            <tr key={at}>
              <td>{exact(station.at)}</td>
              <td>{after(station.at, first)}</td>
              <td>{station.what}</td>
              <td>{station.detail}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
