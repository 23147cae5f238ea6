import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { EventName, Session, Webhook } from '../api/types.gen';
import { EVENT_NAMES } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { Time } from '../parts/time';
import { Button, CopyButton, Empty, Field, Pill, Problem, Sheet, Waiting, type Tone } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { go, link, place, refine } from '../state/route';
import { t, word } from '../state/text';
import { useSessions, type NamedSession } from './sessions';
import { WebhookView } from './webhook';

export const WEBHOOKS_MAX = 1000;

export function WebhooksView() {
  const { data, error, reload } = useLoad(
    (signal) => call('GET /api/webhooks', { query: { limit: WEBHOOKS_MAX }, signal }),
    [],
    (event) => event.event.startsWith('webhook.'),
    10_000,
  );
  const sessions = useSessions();
  const id = place.value.parts[1];
  if (error && !data) return <Problem error={error} retry={reload} />;
  if (sessions.error && !sessions.data) return <Problem error={sessions.error} retry={sessions.reload} />;
  if (!data || !sessions.data) return <Waiting />;
  const nameOf = names(sessions.data);
  if (id) {
    const webhook = data.find((webhook) => webhook.id === id);
    if (!webhook) return <Empty title={t('webhooks.gone')} />;
    return <WebhookView key={id} webhook={webhook} session={nameOf(webhook.sessionId)} reload={reload} />;
  }
  return <WebhookList webhooks={data} sessions={sessions.data} nameOf={nameOf} error={error} reload={reload} />;
}

function names(sessions: Session[]): (id: string) => string {
  const known = new Map(sessions.map(({ id, name }) => [id, name]));
  return (id) => known.get(id) ?? id;
}

type ListProps = { webhooks: Webhook[]; sessions: Session[]; nameOf: (id: string) => string; error: Error | undefined; reload: () => void };

function WebhookList({ webhooks, sessions, nameOf, error, reload }: ListProps) {
  const [adding, setAdding] = useState(false);
  const session = place.value.query.get('session') ?? '';
  const rows = webhooks.filter((webhook) => !session || webhook.sessionId === session);
  const columns: Column<Webhook>[] = [
    { id: 'url', label: t('webhooks.url'), show: ({ id, url }) => <a href={link('webhooks', id)}>{url}</a> },
    { id: 'state', label: t('webhooks.state'), width: '9rem', show: (webhook) => <WebhookState webhook={webhook} /> },
    { id: 'scope', label: t('webhooks.scope'), rank: 2, show: (webhook) => scope(webhook, nameOf(webhook.sessionId)) },
    { id: 'ok', label: t('webhooks.lastSuccess'), rank: 2, width: '9rem', show: ({ lastTriggeredAt }) => <Time at={lastTriggeredAt} /> },
    { id: 'bad', label: t('webhooks.failures'), rank: 3, width: '7rem', show: ({ health }) => health.failures },
  ];
  return (
    <>
      <div class="head">
        <h1>{t('nav.webhooks')}</h1>
        <Button kind="main" disabled={!sessions.length} onClick={() => setAdding(true)}>
          {t('webhooks.add')}
        </Button>
      </div>
      <Problem error={error} retry={reload} />
      <div class="bar">
        <SessionChoice sessions={sessions} chosen={session} choose={(session) => refine({ session })} all />
      </div>
      {rows.length ? (
        <Table label={t('nav.webhooks')} rows={rows} keyOf={({ id }) => id} columns={columns} open={({ id }) => go('webhooks', id)} />
      ) : (
        <Empty title={t('webhooks.none')}>
          <p>{t('webhooks.noneHint')}</p>
        </Empty>
      )}
      {adding && <AddWebhook sessions={sessions} first={session} onClose={() => setAdding(false)} reload={reload} />}
    </>
  );
}

export function SessionChoice(props: { sessions: NamedSession[]; chosen: string; choose: (id: string) => void; all?: boolean }) {
  return (
    <label class="choice">
      <span>{t('nav.number')}</span>
      <select value={props.chosen} onChange={(event) => props.choose(event.currentTarget.value)}>
        {props.all && <option value="">{t('group.all')}</option>}
        {props.sessions.map(({ id, name, phone }) => (
          <option key={id} value={id}>
            {phone ? `${name} (+${phone})` : name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What a webhook gets, in words: nobody has to guess whether it is all or little. */
export function scope(webhook: Webhook, session: string): string {
  const all = webhook.events.includes('*' as EventName);
  const events = all
    ? t('webhooks.allEvents', { session })
    : webhook.events.length > 3
      ? t('webhooks.someEvents', { n: webhook.events.length, session })
      : t('webhooks.theseEvents', { events: webhook.events.join(', '), session });
  const conditions = webhook.filters?.conditions ?? [];
  if (!conditions.length) return events;
  const words = conditions.map(({ field, operator, value }) => `${field} ${operator} ${[value].flat().join(' / ')}`);
  return `${events}; ${t('webhooks.where')} ${words.join(` ${t('and')} `)}`;
}

export function WebhookState({ webhook }: { webhook: Webhook }) {
  const { health } = webhook;
  const [tone, name]: [Tone, string] = !webhook.active
    ? ['calm', 'off']
    : health.pausedAt
      ? ['warn', 'paused']
      : health.breaker === 'open'
        ? ['bad', 'open']
        : health.breaker === 'catch_up'
          ? ['busy', 'catch_up']
          : health.failures
            ? ['warn', 'failing']
            : ['good', 'healthy'];
  return <Pill tone={tone}>{word('webhook', name)}</Pill>;
}

/** 32 random bytes as hex digits, made in this browser. */
export function newSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

type AddProps = { sessions: Session[]; first: string; onClose: () => void; reload: () => void };

function AddWebhook({ sessions, first, onClose, reload }: AddProps) {
  const [session, setSession] = useState(first || sessions[0]?.id || '');
  const [url, setUrl] = useState('');
  const [all, setAll] = useState(true);
  const [events, setEvents] = useState<ReadonlySet<string>>(new Set(['message.received']));
  const [secret] = useState(newSecret);
  const { busy, error, run } = useAction();
  const create = () =>
    run(async () => {
      const wanted = (all ? ['*'] : [...events]) as EventName[];
      const webhook = await call('POST /api/sessions/{sessionId}/webhooks', {
        path: { sessionId: session },
        body: { url, events: wanted, secret },
      });
      reload();
      go('webhooks', webhook.id);
    });
  const toggle = (name: string) => {
    const next = new Set(events);
    if (!next.delete(name)) next.add(name);
    setEvents(next);
  };
  return (
    <Sheet title={t('webhooks.add')} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <SessionChoice sessions={sessions} chosen={session} choose={setSession} />
        <Field label={t('webhooks.url')}>
          {(id) => (
            <input id={id} type="url" required value={url} placeholder="https://" onInput={(event) => setUrl(event.currentTarget.value)} />
          )}
        </Field>
        <fieldset>
          <legend>{t('webhooks.which')}</legend>
          <label>
            <input type="radio" name="which" checked={all} onChange={() => setAll(true)} /> {t('webhooks.every')}
          </label>
          <label>
            <input type="radio" name="which" checked={!all} onChange={() => setAll(false)} /> {t('webhooks.chosen')}
          </label>
          {!all && (
            <div class="columns">
              {EVENT_NAMES.map((name) => (
                <label key={name}>
                  <input type="checkbox" checked={events.has(name)} onChange={() => toggle(name)} /> {name}
                </label>
              ))}
            </div>
          )}
        </fieldset>
        <p>
          {t('webhooks.secret')} <code class="long">{secret}</code> <CopyButton text={secret} label={t('webhooks.secret')} />
        </p>
        <p class="hint">{t('webhooks.secretHint')}</p>
        <Problem error={error} />
        <footer class="row end">
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button type="submit" kind="main" busy={busy} disabled={!all && !events.size}>
            {t('webhooks.add')}
          </Button>
        </footer>
      </form>
    </Sheet>
  );
}
