import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { Session } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { Time } from '../parts/time';
import { Button, Chips, Code, Field, Pill, Problem, Sheet, toast, Waiting } from '../parts/ui';
import { useAction } from '../state/load';
import { go, link, place, refine } from '../state/route';
import { number, t, word } from '../state/text';
import { isOperator, who } from '../state/who';
import { restrictionEnd, restrictionText } from './limits';
import { NumberView } from './number';
import { GROUPS, isIn, TONES, useSessions, type SessionGroup } from './sessions';

export function NumbersView() {
  const id = place.value.parts[1];
  return id ? <NumberView key={id} id={id} /> : <NumberList />;
}

function NumberList() {
  const { data, error, reload } = useSessions();
  const [adding, setAdding] = useState(false);
  const canAdd = isOperator.value && !who.value?.allowedSessions.length;
  return (
    <>
      <div class="head">
        <h1>{t('nav.numbers')}</h1>
        {canAdd && (
          <Button kind="main" onClick={() => setAdding(true)}>
            {t('numbers.link')}
          </Button>
        )}
      </div>
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data?.length === 0 && <FirstRun canAdd={canAdd} add={() => setAdding(true)} />}
      {data && data.length > 0 && <Fleet sessions={data} reload={reload} />}
      {adding && <AddNumber onClose={() => setAdding(false)} />}
    </>
  );
}

function FirstRun({ canAdd, add }: { canAdd: boolean; add: () => void }) {
  return (
    <>
      <p class="first-title">{t('numbers.none')}</p>
      <div class="first-run">
        {canAdd && (
          <section class="card">
            <h2>{t('numbers.link')}</h2>
            <p>{t('numbers.linkHint')}</p>
            <p>
              <Button kind="main" onClick={add}>
                {t('numbers.link')}
              </Button>
            </p>
            <p class="hint">
              {t('numbers.orApi')} <Code>POST /api/sessions</Code>
            </p>
          </section>
        )}
        <section class="card">
          <h2>{t('numbers.tryTitle')}</h2>
          <p>{t('numbers.tryHint')}</p>
          <p>
            {t('numbers.onTerminal')} <Code>waypost sandbox</Code>
          </p>
        </section>
      </div>
    </>
  );
}

function Fleet({ sessions, reload }: { sessions: Session[]; reload: () => void }) {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const group = (GROUPS.find((group) => group === place.value.query.get('state')) ?? 'all') as SessionGroup;
  const text = place.value.query.get('find') ?? '';
  const wanted = text.trim().toLowerCase();
  const rows = sessions.filter(
    (session) =>
      isIn(group, session) &&
      (!wanted || [session.name, session.phone, session.pushName, session.id].some((of) => of?.toLowerCase().includes(wanted))),
  );
  const chips = GROUPS.map((id) => ({
    id,
    label: t(`group.${id}`),
    count: sessions.filter((session) => isIn(id, session)).length,
  }));
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  return (
    <>
      <div class="bar">
        <Chips
          label={t('numbers.state')}
          chips={chips.filter(({ id, count }) => count || id === 'all' || id === group)}
          chosen={group}
          choose={(id) => refine({ state: id === 'all' ? '' : id })}
        />
        <input
          type="search"
          value={text}
          placeholder={t('numbers.find')}
          aria-label={t('numbers.find')}
          onInput={(event) => refine({ find: event.currentTarget.value })}
        />
      </div>
      {isOperator.value && (
        <Many
          sessions={rows.filter(({ id }) => chosen.has(id))}
          allChosen={rows.length > 0 && rows.every(({ id }) => chosen.has(id))}
          chooseAll={(all) => setChosen(new Set(all ? rows.map(({ id }) => id) : []))}
          done={() => {
            setChosen(new Set());
            reload();
          }}
        />
      )}
      <Table
        label={t('nav.numbers')}
        rows={rows}
        keyOf={({ id }) => id}
        columns={columns(chosen, toggle, sessions.some(({ sendsToday }) => sendsToday))}
        open={({ id }) => go('numbers', id)}
      />
    </>
  );
}

function columns(chosen: ReadonlySet<string>, toggle: (id: string) => void, counted: boolean): Column<Session>[] {
  const choose: Column<Session> = {
    id: 'choose',
    label: t('choose'),
    unseen: true,
    width: '2.5rem',
    show: ({ id, name }) => (
      <input type="checkbox" aria-label={`${t('choose')} ${name}`} checked={chosen.has(id)} onChange={() => toggle(id)} />
    ),
  };
  const today: Column<Session> = {
    id: 'today',
    label: t('numbers.today'),
    rank: 3,
    width: '8rem',
    show: ({ sendsToday: of }) => {
      if (!of) return <span class="quiet">–</span>;
      return of.sentMax ? t('number.ofMax', { n: number(of.sent), max: number(of.sentMax) }) : number(of.sent);
    },
  };
  return [
    ...(isOperator.value ? [choose] : []),
    { id: 'name', label: t('name'), show: ({ id, name }) => <a href={link('numbers', id)}>{name}</a> },
    {
      id: 'state',
      label: t('numbers.state'),
      show: ({ status, lastError, restriction }) => (
        <>
          <Pill tone={TONES[status]} {...(lastError ? { title: lastError } : {})}>
            {word('status', status)}
          </Pill>{' '}
          {restriction && (
            <Pill tone="warn" title={`${restrictionText(restriction)} · ${restrictionEnd(restriction)}`}>
              {t('group.restricted')}
            </Pill>
          )}
        </>
      ),
    },
    { id: 'phone', label: t('number'), rank: 2, show: ({ phone }) => (phone ? `+${phone}` : <span class="quiet">–</span>) },
    ...(counted ? [today] : []),
    { id: 'since', label: t('numbers.since'), rank: 3, show: (of) => <Time at={of.status === 'ready' ? of.connectedAt : null} /> },
    { id: 'heard', label: t('numbers.heard'), rank: 2, show: ({ activity }) => <Time at={activity?.lastEngineEventAt} /> },
    { id: 'delivered', label: t('numbers.delivered'), rank: 3, show: ({ activity }) => <Time at={activity?.lastDeliveredAt} /> },
  ];
}

type ManyProps = { sessions: Session[]; allChosen: boolean; chooseAll: (all: boolean) => void; done: () => void };

function Many({ sessions, allChosen, chooseAll, done }: ManyProps) {
  const { busy, run } = useAction();
  const act = (route: 'POST /api/sessions/{sessionId}/start' | 'POST /api/sessions/{sessionId}/stop', of: Session[]) =>
    run(async () => {
      let failed = 0;
      for (const { id } of of) {
        await call(route, { path: { sessionId: id } }).catch(() => failed++);
      }
      toast(t('numbers.manyDone', { n: of.length - failed, failed }), failed > 0);
      done();
    });
  const [up, down] = [sessions.filter((of) => of.engineLoaded), sessions.filter((of) => !of.engineLoaded)];
  return (
    <div class="row many">
      <label>
        <input type="checkbox" checked={allChosen} onChange={(event) => chooseAll(event.currentTarget.checked)} /> {t('chooseAll')}
      </label>
      <Button disabled={!down.length} busy={busy} onClick={() => void act('POST /api/sessions/{sessionId}/start', down)}>
        {t('start')} ({down.length})
      </Button>
      <Button disabled={!up.length} busy={busy} onClick={() => void act('POST /api/sessions/{sessionId}/stop', up)}>
        {t('stop')} ({up.length})
      </Button>
    </div>
  );
}

function AddNumber({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const { busy, error, run } = useAction();
  const create = () =>
    run(async () => {
      const session = await call('POST /api/sessions', { body: { name } });
      // It exists now: its page has the button to try again.
      await call('POST /api/sessions/{sessionId}/start', { path: { sessionId: session.id } }).catch((error: Error) => toast(error.message, true));
      go('numbers', session.id);
    });
  return (
    <Sheet title={t('numbers.link')} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <Field label={t('name')} hint={t('numbers.nameHint')}>
          {(id) => (
            <input
              id={id}
              required
              minLength={3}
              maxLength={50}
              pattern="[a-zA-Z0-9\-]+"
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <Problem error={error} />
        <footer class="row end">
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button type="submit" kind="main" busy={busy}>
            {t('numbers.create')}
          </Button>
        </footer>
      </form>
    </Sheet>
  );
}
