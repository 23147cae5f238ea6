// The emergency brake: sends are paused, keys are revoked; and the banner while they are.
import { useState } from 'preact/hooks';
import { call, Refused } from '../api/client';
import { Time } from '../parts/time';
import { Button, Confirm, Field, Problem, Sheet, toast } from '../parts/ui';
import { useAction } from '../state/load';
import { lookAtSends, sends } from '../state/sends';
import { t } from '../state/text';
import { isAdmin, who } from '../state/who';

const REASON_MAX = 200;

/** Who may pause and resume: admins of the whole installation. */
function mayBrake(): boolean {
  return isAdmin.value && !who.value?.allowedSessions.length && !who.value?.allowedChats.length;
}

/** On every page, while sends are paused. */
export function SendsBanner() {
  const { busy, error, run } = useAction();
  const state = sends.value;
  if (!state?.paused) return null;
  const resume = () =>
    run(async () => {
      sends.value = await call('POST /api/sends/resume');
      toast(t('sends.resumed'));
    });
  return (
    <section class="banner" aria-label={t('sends.paused')}>
      <p>
        <strong>{t('sends.paused')}</strong> <Time at={state.since} /> {state.by && t('sends.by', { name: state.by })}
        {state.reason && <span class="long">: {state.reason}</span>}
      </p>
      {mayBrake() && (
        <Button kind="main" busy={busy} onClick={() => void resume()}>
          {t('sends.resume')}
        </Button>
      )}
      <Problem error={error} />
    </section>
  );
}

type Asked = 'pause' | 'all';

/** On the page of keys. */
export function Brake({ revoked }: { revoked: () => void }) {
  const [asked, ask] = useState<Asked>();
  const [kept, setKept] = useState<{ revoked: number; kept: string[] }>();
  if (!mayBrake()) return null;
  return (
    <section class="card">
      <h2>{t('brake')}</h2>
      <p class="hint">{t('brake.hint')}</p>
      <div class="row">
        <Button disabled={sends.value?.paused ?? false} onClick={() => ask('pause')}>
          {t('sends.pause')}
        </Button>
        <Button kind="danger" onClick={() => ask('all')}>
          {t('brake.all')}
        </Button>
      </div>
      {asked && (
        <Ask
          what={asked}
          onClose={() => ask(undefined)}
          done={(result) => {
            setKept(result);
            revoked();
          }}
        />
      )}
      {kept && (
        <Sheet title={t('brake')} onClose={() => setKept(undefined)}>
          <p>{t('brake.done', { n: kept.revoked })}</p>
          {kept.kept.length > 0 && <p class="long">{t('brake.kept', { names: kept.kept.join(', ') })}</p>}
          <footer class="row end">
            <Button kind="main" onClick={() => setKept(undefined)}>
              {t('close')}
            </Button>
          </footer>
        </Sheet>
      )}
    </section>
  );
}

type AskProps = { what: Asked; onClose: () => void; done: (result: { revoked: number; kept: string[] }) => void };

function Ask({ what, onClose, done }: AskProps) {
  const [reason, setReason] = useState('');
  const { busy, error, run } = useAction();
  const brake = async () => {
    const text = reason.trim();
    const worked = await run(async () => {
      // Sends first: a key that leaked must not send while the others are revoked.
      sends.value = await call('POST /api/sends/pause', { body: text ? { reason: text } : {} });
      if (what === 'all') done(await call('POST /api/auth/api-keys/revoke-all'));
    });
    void lookAtSends();
    if (worked) onClose();
  };
  const missing = error instanceof Refused && error.status === 404 ? new Refused(404, [t('missing')]) : error;
  return (
    <Confirm
      title={what === 'all' ? t('brake.ask') : t('sends.askPause')}
      yes={what === 'all' ? t('brake.all') : t('sends.pause')}
      danger
      busy={busy}
      {...(missing ? { error: missing } : {})}
      onYes={() => void brake()}
      onNo={onClose}
    >
      {what === 'all' && <p>{t('brake.means')}</p>}
      <p>{t('sends.means')}</p>
      <Field label={t('sends.reason')} hint={t('sends.reasonHint')}>
        {(id) => <input id={id} maxLength={REASON_MAX} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />}
      </Field>
    </Confirm>
  );
}
