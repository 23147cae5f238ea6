// Sends of programs that wait for a person, who lets them go out or refuses them.
import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { Approval } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { exact, Time } from '../parts/time';
import { Button, Chips, Code, Empty, Json, Pill, Problem, Sheet, toast, Waiting, type Tone } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { link, place, refine } from '../state/route';
import { t, word } from '../state/text';
import { isOperator } from '../state/who';
import { useSessions } from './sessions';

const PAGE = 100;
const STATES = ['held', 'all', 'released', 'refused', 'sent', 'failed'] as const;
const TONES: Record<string, Tone> = { held: 'warn', released: 'busy', refused: 'calm', sent: 'good', failed: 'bad' };

export function ApprovalsView() {
  const [pages, setPages] = useState(1);
  const state = STATES.find((one) => one === place.value.query.get('state')) ?? 'held';
  const opened = place.value.query.get('approval');
  const sessions = useSessions();
  const { data, error, reload } = useLoad(
    (signal) => read(state, pages, signal),
    [state, pages],
    (event) => event.event.startsWith('approval.'),
    15_000,
  );
  const names = new Map(sessions.data?.map(({ id, name }) => [id, name]));
  const columns: Column<Approval>[] = [
    { id: 'when', label: t('when'), width: '8rem', show: ({ createdAt }) => <Time at={createdAt} /> },
    {
      id: 'what',
      label: t('approvals.what'),
      show: ({ id, route, request }) => (
        <button type="button" class="as-link" onClick={() => refine({ approval: id })}>
          {route} {excerpt(request)}
        </button>
      ),
    },
    { id: 'state', label: t('approvals.state'), width: '9rem', show: ({ status }) => <State of={status} /> },
    { id: 'by', label: t('approvals.by'), rank: 2, show: ({ apiKeyName }) => apiKeyName },
    { id: 'session', label: t('nav.number'), rank: 3, show: ({ sessionId }) => names.get(sessionId) ?? sessionId },
    { id: 'chat', label: t('chat'), rank: 2, show: ({ chatId }) => chatId ?? '–' },
  ];
  return (
    <>
      <div class="head">
        <h1>{t('nav.approvals')}</h1>
      </div>
      <p class="hint">{t('approvals.hint')}</p>
      <div class="bar">
        <Chips
          label={t('approvals.state')}
          chips={STATES.map((id) => ({ id, label: word('approval', id) }))}
          chosen={state}
          choose={(id) => refine({ state: id === 'held' ? '' : id })}
        />
      </div>
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data?.length === 0 && <Empty title={t(state === 'held' ? 'approvals.none' : 'approvals.noneFit')} />}
      {data && data.length > 0 && (
        <Table
          label={t('nav.approvals')}
          rows={data}
          keyOf={({ id }) => id}
          columns={columns}
          open={({ id }) => refine({ approval: id })}
          {...(data.length === pages * PAGE ? { more: () => setPages(pages + 1) } : {})}
        />
      )}
      {opened && <OneApproval key={opened} id={opened} onClose={() => refine({ approval: '' })} reload={reload} />}
    </>
  );
}

async function read(state: string, pages: number, signal: AbortSignal) {
  // What is decided while pages are read moves the others on: one may come twice.
  const all = new Map<string, Approval>();
  for (let page = 0; page < pages; page++) {
    const query = { limit: PAGE, offset: page * PAGE, ...(state === 'all' ? {} : { status: state }) };
    const found = await call('GET /api/approvals', { query, signal });
    for (const approval of found) all.set(approval.id, approval);
    if (found.length < PAGE) break;
  }
  return [...all.values()];
}

/** What somebody would read of it. */
function excerpt(request: Approval['request']): string {
  const text = ['text', 'caption', 'body', 'templateName', 'filename'].map((name) => request?.[name]).find((of) => typeof of === 'string');
  return typeof text === 'string' ? `“${text}”` : '';
}

function State({ of }: { of: string }) {
  return <Pill tone={TONES[of] ?? 'calm'}>{word('approval', of)}</Pill>;
}

function OneApproval({ id, onClose, reload }: { id: string; onClose: () => void; reload: () => void }) {
  const { data, error, reload: again } = useLoad((signal) => call('GET /api/approvals/{id}', { path: { id }, signal }), [id], (event) => event.event.startsWith('approval.'), 3000);
  const action = useAction();
  const decide = async (what: 'release' | 'refuse') => {
    const done = await action.run(() => call(`POST /api/approvals/{id}/${what}`, { path: { id } }));
    again();
    reload();
    if (done) toast(t(what === 'release' ? 'approvals.released' : 'approvals.refused'));
  };
  return (
    <Sheet title={t('approvals.request')} onClose={onClose} side>
      <Problem error={error} retry={again} />
      {!data && !error && <Waiting />}
      {data && (
        <>
          <div class="row">
            <strong>{data.route}</strong>
            <State of={data.status} />
            <span class="grow" />
            {isOperator.value && data.status === 'held' && (
              <>
                <Button kind="main" busy={action.busy} onClick={() => void decide('release')}>
                  {t('approvals.release')}
                </Button>
                <Button kind="danger" busy={action.busy} onClick={() => void decide('refuse')}>
                  {t('approvals.refuse')}
                </Button>
              </>
            )}
          </div>
          <Problem error={action.error} />
          <Json value={data.request} label={t('approvals.request')} />
          <Facts of={data} />
          {data.answer && (
            <>
              <h3>{t('approvals.answer')}</h3>
              <Json value={data.answer} label={t('approvals.answer')} />
            </>
          )}
        </>
      )}
    </Sheet>
  );
}

function Facts({ of }: { of: Approval }) {
  return (
    <dl class="facts">
      <dt>{t('approvals.by')}</dt>
      <dd>{of.apiKeyName}</dd>
      <dt>{t('created')}</dt>
      <dd>{exact(of.createdAt)}</dd>
      {of.chatId && (
        <>
          <dt>{t('chat')}</dt>
          <dd>
            <Code>{of.chatId}</Code> <a href={link('inbox', of.sessionId, of.chatId)}>{t('nav.inbox')}</a>
          </dd>
        </>
      )}
      {of.decidedAt && (
        <>
          <dt>{t('approvals.decided')}</dt>
          <dd>
            {exact(of.decidedAt)} · {of.decidedBy}
          </dd>
        </>
      )}
    </dl>
  );
}
