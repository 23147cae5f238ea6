import { useState } from 'preact/hooks';
import type { LoggedEvent } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { Clock } from '../parts/time';
import { Button, Code, CopyButton, Empty, Json, Sheet } from '../parts/ui';
import { liveState, recent } from '../state/live';
import { place, refine } from '../state/route';
import { t } from '../state/text';
import { EventChoice } from './deliveries';
import { useNames } from './sessions';
import { SessionChoice } from './webhooks';

export function EventsView() {
  const sessions = useNames();
  const [held, setHeld] = useState<readonly LoggedEvent[]>();
  const [opened, open] = useState<LoggedEvent>();
  const { query } = place.value;
  const [session, kind, text] = [query.get('session') ?? '', query.get('event') ?? '', query.get('find') ?? ''];
  const wanted = text.trim().toLowerCase();
  const all = held ?? recent.value;
  const rows = all.filter(
    (event) =>
      (!session || event.sessionId === session) &&
      (!kind || event.event === kind) &&
      (!wanted || JSON.stringify(event).toLowerCase().includes(wanted)),
  );
  const names = new Map(sessions.data?.map(({ id, name }) => [id, name]));
  const columns: Column<LoggedEvent>[] = [
    { id: 'when', label: t('when'), width: '7rem', show: ({ timestamp }) => <Clock at={timestamp} /> },
    {
      id: 'event',
      label: t('event'),
      width: '13rem',
      show: (event) => (
        <button type="button" class="as-link" onClick={() => open(event)}>
          {event.event}
        </button>
      ),
    },
    { id: 'session', label: t('nav.number'), rank: 2, width: '12rem', show: ({ sessionId }) => names.get(sessionId) ?? sessionId },
    { id: 'data', label: t('events.data'), rank: 2, show: ({ data }) => <span class="quiet one-line">{JSON.stringify(data)}</span> },
    {
      id: 'copy',
      label: t('copy'),
      unseen: true,
      width: '3rem',
      show: (event) => <CopyButton text={JSON.stringify(event, null, 2)} label={`${event.event} ${event.sequence}`} />,
    },
  ];
  return (
    <>
      <div class="head">
        <h1>{t('nav.events')}</h1>
        <Button pressed={held !== undefined} onClick={() => setHeld(held ? undefined : recent.value)}>
          {held ? t('events.goOn') : t('events.hold')}
        </Button>
      </div>
      <div class="bar">
        <SessionChoice sessions={sessions.data ?? []} chosen={session} choose={(session) => refine({ session })} all />
        <EventChoice chosen={kind} choose={(event) => refine({ event })} />
        <input
          type="search"
          value={text}
          placeholder={t('events.find')}
          aria-label={t('events.find')}
          onInput={(event) => refine({ find: event.currentTarget.value })}
        />
      </div>
      {rows.length ? (
        <Table label={t('nav.events')} rows={rows} keyOf={({ id }) => id} columns={columns} open={open} rowHeight={36} />
      ) : (
        <Empty title={all.length ? t('events.noneFit') : t('events.none')}>
          <p>{liveState.value === 'lost' ? t('live.lost') : t('events.noneHint')}</p>
        </Empty>
      )}
      {opened && (
        <Sheet title={opened.event} onClose={() => open(undefined)} side>
          <dl class="facts">
            <dt>webhook-id</dt>
            <dd>
              <Code>{opened.id}</Code>
            </dd>
            <dt>{t('idempotencyKey')}</dt>
            <dd>
              <Code>{opened.idempotencyKey}</Code>
            </dd>
            <dt>{t('sequence')}</dt>
            <dd>{opened.sequence}</dd>
          </dl>
          <Json value={opened} label={opened.event} />
        </Sheet>
      )}
    </>
  );
}
