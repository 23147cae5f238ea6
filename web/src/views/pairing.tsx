// Linking a number. There is always something to see: a code, a reason, or a button.
import { useEffect, useState } from 'preact/hooks';
import { call, Refused } from '../api/client';
import type { Passkey, QrCode, Session } from '../api/types.gen';
import { now } from '../parts/time';
import { Button, CopyButton, Field, Problem, Tabs, Waiting } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { useLive } from '../state/live';
import { t } from '../state/text';
import { isOperator } from '../state/who';
import { PasskeySteps } from './passkey';

type Way = 'qr' | 'code';
/** So long after its end a code that no other has replaced waits for something else. */
const LACKING_SECONDS = 3;
const STEPS = ['connecting', 'shown', 'scanned', 'linked'] as const;

function step(status: Session['status']): number {
  switch (status) {
    case 'initializing':
      return 0;
    case 'qr_ready':
      return 1;
    case 'authenticating':
      return 2;
    case 'ready':
      return 3;
    default:
      return -1;
  }
}

export function Pairing({ session, reload }: { session: Session; reload: () => void }) {
  const at = step(session.status);
  return (
    <section class="card pairing" aria-label={t('pairing')}>
      <h2>{t('pairing')}</h2>
      <ol class="steps">
        {STEPS.map((name, index) => (
          <li key={name} class={index < at ? 'done' : index === at ? 'now' : ''} aria-current={index === at ? 'step' : undefined}>
            {t(`pairing.${name}`)}
          </li>
        ))}
      </ol>
      {at < 0 && <Down session={session} reload={reload} />}
      {at === 0 && <Waiting />}
      {at === 0 && session.lastError && <p class="hint">{t('pairing.before', { reason: session.lastError })}</p>}
      {at === 1 && (isOperator.value ? <Codes session={session} /> : <p>{t('pairing.viewer')}</p>)}
      {at === 2 && <Waiting />}
    </section>
  );
}

function Down({ session, reload }: { session: Session; reload: () => void }) {
  const { busy, error, run } = useAction();
  const start = () =>
    run(() => call('POST /api/sessions/{sessionId}/start', { path: { sessionId: session.id } })).then(reload);
  const advice = session.status === 'action_required' ? t('pairing.person') : session.status === 'failed' ? t('pairing.failed') : t('pairing.stopped');
  return (
    <>
      {session.lastError && <p class="problem">{session.lastError}</p>}
      <p>{advice}</p>
      <Problem error={error} />
      {isOperator.value && (
        <Button kind="main" busy={busy} onClick={() => void start()}>
          {session.phone ? t('start') : t('numbers.link')}
        </Button>
      )}
    </>
  );
}

function Codes({ session }: { session: Session }) {
  const [way, setWay] = useState<Way>('qr');
  const [passkey, setPasskey] = useState<Passkey>();
  useLive((event) => {
    if (event.sessionId === session.id && event.event === 'session.passkey') setPasskey(event.data as Passkey);
  });
  // The word may have come before this page was opened: asked when no code is shown that counts.
  const ask = () => void call('GET /api/sessions/{sessionId}/passkey', { path: { sessionId: session.id } }).then(setPasskey, () => {});
  if (passkey) return <PasskeySteps session={session.id} passkey={passkey} heard={setPasskey} />;
  return (
    <Tabs
      label={t('pairing.way')}
      tabs={[
        { id: 'qr', label: t('pairing.qr') },
        { id: 'code', label: t('pairing.code') },
      ]}
      chosen={way}
      choose={setWay}
    >
      {way === 'qr' ? <Qr session={session} lacking={ask} /> : <TypedCode session={session} />}
    </Tabs>
  );
}

function Qr({ session, lacking }: { session: Session; lacking: () => void }) {
  const { data, error, reload } = useLoad<QrCode>(
    (signal) => call('GET /api/sessions/{sessionId}/qr', { path: { sessionId: session.id }, signal }),
    [session.id],
  );
  useLive((event) => event.sessionId === session.id && event.event === 'session.qr' && reload());
  const left = data ? Math.ceil((Date.parse(data.expiresAt) - now.value) / 1000) : undefined;
  const over = left !== undefined && left < 0;
  // The next code is told; when the word is lost, it is asked for.
  useEffect(() => {
    if (over) reload();
  }, [over, left]);
  const long = error !== undefined || (left !== undefined && left < -LACKING_SECONDS);
  useEffect(() => {
    if (long) lacking();
  }, [long]);
  if (error instanceof Refused && error.status === 400) return <Waiting />;
  if (error) return <Problem error={error} retry={reload} />;
  if (!data) return <Waiting />;
  return (
    <div class="qr">
      <img src={data.qrCode} alt={t('pairing.qrAlt')} width="264" height="264" class={over ? 'over' : ''} />
      <div>
        <ol>
          <li>{t('pairing.open')}</li>
          <li>{t('pairing.devices')}</li>
          <li>{t('pairing.scan')}</li>
        </ol>
        <p class="hint" role="timer">
          {left === undefined ? '' : over ? t('pairing.renewing') : t('pairing.left', { n: left })}
        </p>
      </div>
    </div>
  );
}

function TypedCode({ session }: { session: Session }) {
  const [phone, setPhone] = useState('');
  const [code, setCode] = useState('');
  const { busy, error, run } = useAction();
  const ask = () =>
    run(async () => {
      const phoneNumber = phone.replace(/\D/g, '');
      const answer = await call('POST /api/sessions/{sessionId}/pairing-code', {
        path: { sessionId: session.id },
        body: { phoneNumber },
      });
      setCode(answer.pairingCode);
    });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void ask();
      }}
    >
      <Field label={t('pairing.phone')} hint={t('pairing.phoneHint')}>
        {(id) => (
          <input id={id} type="tel" required value={phone} autocomplete="tel" onInput={(event) => setPhone(event.currentTarget.value)} />
        )}
      </Field>
      <Problem error={error} />
      <Button type="submit" kind="main" busy={busy}>
        {t('pairing.getCode')}
      </Button>
      {code && (
        <p class="typed" role="status">
          <strong>{code}</strong> <CopyButton text={code} />
          <span class="hint">{t('pairing.type')}</span>
        </p>
      )}
    </form>
  );
}
