import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { ApiKey, Role, Session } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { Time } from '../parts/time';
import { Button, Confirm, CopyButton, Field, Pill, Problem, Sheet, toast, Waiting } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { t, word } from '../state/text';
import { who } from '../state/who';
import { Brake } from './brake';
import { useSessions } from './sessions';

const ROLES: Role[] = ['viewer', 'operator', 'admin'];

export function KeysView() {
  const { data, error, reload } = useLoad((signal) => call('GET /api/auth/api-keys', { signal }), []);
  const sessions = useSessions();
  const [adding, setAdding] = useState(false);
  const [revoking, revoke] = useState<ApiKey>();
  return (
    <>
      <div class="head">
        <h1>{t('nav.keys')}</h1>
        <Button kind="main" onClick={() => setAdding(true)}>
          {t('keys.add')}
        </Button>
      </div>
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data && (
        <Table label={t('nav.keys')} rows={data} keyOf={({ id }) => id} columns={columns(sessions.data ?? [], revoke)} />
      )}
      <Brake revoked={reload} />
      {adding && <AddKey sessions={sessions.data ?? []} onClose={() => setAdding(false)} reload={reload} />}
      {revoking && <Revoke apiKey={revoking} onClose={() => revoke(undefined)} reload={reload} />}
    </>
  );
}

/** What a key is good for, in words. */
function scope(key: ApiKey, sessions: Session[]): string {
  const names = new Map(sessions.map(({ id, name }) => [id, name]));
  const list = (key.allowedSessions ?? []).map((id) => names.get(id) ?? id);
  const parts = [list.length ? t('keys.ofSessions', { sessions: list.join(', ') }) : t('keys.ofAll')];
  if (key.allowedChats?.length) parts.push(t('keys.ofChats', { n: key.allowedChats.length }));
  if (key.allowedIps?.length) parts.push(t('keys.from', { addresses: key.allowedIps.join(', ') }));
  return parts.join('; ');
}

function columns(sessions: Session[], revoke: (key: ApiKey) => void): Column<ApiKey>[] {
  return [
    {
      id: 'name',
      label: t('name'),
      show: ({ name, keyPrefix, id }) => (
        <>
          {name} <code class="quiet">{keyPrefix}…</code> {id === who.value?.apiKeyId && <Pill tone="calm">{t('keys.yours')}</Pill>}
        </>
      ),
    },
    { id: 'role', label: t('role'), width: '8rem', show: ({ role }) => word('role', role) },
    { id: 'scope', label: t('keys.scope'), rank: 2, show: (key) => scope(key, sessions) },
    { id: 'used', label: t('keys.used'), rank: 2, width: '9rem', show: ({ lastUsedAt }) => <Time at={lastUsedAt} /> },
    {
      id: 'state',
      label: t('numbers.state'),
      rank: 3,
      width: '10rem',
      show: (key) => {
        if (!key.isActive) return <Pill tone="bad">{t('keys.revoked')}</Pill>;
        if (!key.expiresAt) return <Pill tone="good">{t('keys.active')}</Pill>;
        const over = Date.parse(key.expiresAt) <= Date.now();
        return <Pill tone={over ? 'bad' : 'good'}>{over ? t('keys.expired') : t('keys.expires')} {!over && <Time at={key.expiresAt} />}</Pill>;
      },
    },
    {
      id: 'act',
      label: t('number.actions'),
      unseen: true,
      width: '7rem',
      show: (key) => (
        <Button disabled={!key.isActive} label={`${t('keys.revoke')} ${key.name}`} onClick={() => revoke(key)}>
          {t('keys.revoke')}
        </Button>
      ),
    },
  ];
}

function Revoke({ apiKey, onClose, reload }: { apiKey: ApiKey; onClose: () => void; reload: () => void }) {
  const { busy, error, run } = useAction();
  const revoke = () =>
    run(() => call('POST /api/auth/api-keys/{id}/revoke', { path: { id: apiKey.id } })).then((done) => {
      if (!done) return;
      toast(t('keys.wasRevoked', { name: apiKey.name }));
      reload();
      onClose();
    });
  return (
    <Confirm
      title={t('keys.ask', { name: apiKey.name })}
      yes={t('keys.revoke')}
      danger
      busy={busy}
      {...(error ? { error } : {})}
      onYes={() => void revoke()}
      onNo={onClose}
    >
      <p>{t('keys.means')}</p>
    </Confirm>
  );
}

function AddKey({ sessions, onClose, reload }: { sessions: Session[]; onClose: () => void; reload: () => void }) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('operator');
  const [allowed, setAllowed] = useState<ReadonlySet<string>>(new Set());
  const [expires, setExpires] = useState('');
  const [held, hold] = useState(false);
  const [made, setMade] = useState('');
  const { busy, error, run } = useAction();
  const create = () =>
    run(async () => {
      const expiresAt = expires ? new Date(expires).toISOString() : undefined;
      const waits = held && role === 'operator' ? { approval: { dailyBudget: 0 } } : {};
      const body = { name, role, allowedSessions: [...allowed], ...waits, ...(expiresAt ? { expiresAt } : {}) };
      const key = await call('POST /api/auth/api-keys', { body });
      setMade(key.apiKey);
      reload();
    });
  const toggle = (id: string) => {
    const next = new Set(allowed);
    if (!next.delete(id)) next.add(id);
    setAllowed(next);
  };
  if (made) {
    return (
      <Sheet title={t('keys.made')} onClose={onClose} firm>
        <p>{t('keys.once')}</p>
        <p>
          <code class="long">{made}</code> <CopyButton text={made} label={t('keys.made')} />
        </p>
        <footer class="row end">
          <Button kind="main" onClick={onClose}>
            {t('close')}
          </Button>
        </footer>
      </Sheet>
    );
  }
  return (
    <Sheet title={t('keys.add')} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <Field label={t('name')}>
          {(id) => <input id={id} required minLength={3} maxLength={100} value={name} onInput={(event) => setName(event.currentTarget.value)} />}
        </Field>
        <Field label={t('role')} hint={t(`role.means.${role}`)}>
          {(id) => (
            <select id={id} value={role} onChange={(event) => setRole(event.currentTarget.value as Role)}>
              {ROLES.map((role) => (
                <option key={role} value={role}>
                  {word('role', role)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <fieldset>
          <legend>{t('keys.sessions')}</legend>
          <p class="hint">{t('keys.sessionsHint')}</p>
          <div class="columns">
            {sessions.map(({ id, name }) => (
              <label key={id}>
                <input type="checkbox" checked={allowed.has(id)} onChange={() => toggle(id)} /> {name}
              </label>
            ))}
          </div>
        </fieldset>
        {role === 'operator' && (
          <div class="field">
            <label>
              <input type="checkbox" checked={held} onChange={(event) => hold(event.currentTarget.checked)} /> {t('keys.approval')}
            </label>
            <p class="hint">{t('keys.approvalHint')}</p>
          </div>
        )}
        <Field label={t('keys.until')} hint={t('keys.untilHint')}>
          {(id) => <input id={id} type="datetime-local" value={expires} onInput={(event) => setExpires(event.currentTarget.value)} />}
        </Field>
        <Problem error={error} />
        <footer class="row end">
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button type="submit" kind="main" busy={busy}>
            {t('keys.add')}
          </Button>
        </footer>
      </form>
    </Sheet>
  );
}
