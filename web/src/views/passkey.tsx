// Linking an account that asks for its passkey: the browser's answer, the phone's, and a code that both show.
import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { Passkey, PasskeyAnswer } from '../api/types.gen';
import { now } from '../parts/time';
import { Button, CopyButton, Field, Problem, Waiting } from '../parts/ui';
import { readAssertion, requestFor } from '../rules/passkey';
import { useAction } from '../state/load';
import { t } from '../state/text';

const PHASES = ['assertion', 'exchange', 'confirmation', 'completion'] as const;

type Props = { session: string; passkey: Passkey; heard: (passkey: Passkey) => void };

export function PasskeySteps({ session, passkey, heard }: Props) {
  const at = PHASES.findIndex((phase) => phase === passkey.phase);
  return (
    <section class="passkey" aria-label={t('pairing.passkey')}>
      <h3>{t('pairing.passkey')}</h3>
      <ol class="steps">
        {PHASES.map((phase, index) => (
          <li key={phase} class={index < at ? 'done' : index === at ? 'now' : ''} aria-current={index === at ? 'step' : undefined}>
            {t(`passkey.${phase}`)}
          </li>
        ))}
      </ol>
      {passkey.error ? (
        <p class="problem" role="alert">
          {t('passkey.failed', { reason: passkey.error })}
        </p>
      ) : (
        <>
          {passkey.phase === 'assertion' && <Assertion session={session} passkey={passkey} heard={heard} />}
          {passkey.phase === 'exchange' && <p role="status">{t('passkey.waits')}</p>}
          {passkey.phase === 'confirmation' && <Comparison session={session} passkey={passkey} heard={heard} />}
          {passkey.phase === 'completion' && (
            <>
              <p role="status">{t('passkey.links')}</p>
              <Waiting />
            </>
          )}
          <Deadline at={passkey.expiresAt} />
        </>
      )}
    </section>
  );
}

function Deadline({ at }: { at: string | null }) {
  if (!at) return null;
  const left = Math.ceil((Date.parse(at) - now.value) / 1000);
  return (
    <p class="hint" role="timer">
      {left > 0 ? t('passkey.left', { n: left }) : t('passkey.over')}
    </p>
  );
}

function Assertion({ session, passkey, heard }: Props) {
  const [text, setText] = useState('');
  const { busy, error, run } = useAction();
  const request = requestFor(passkey.options);
  const answer = readAssertion(text) as PasskeyAnswer | undefined;
  const send = () =>
    run(async () => {
      const path = { sessionId: session };
      heard(await call('POST /api/sessions/{sessionId}/passkey/response', { path, body: answer! }));
    });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (answer) void send();
      }}
    >
      <p>{t('passkey.where')}</p>
      <ol>
        <li>{t('passkey.open')}</li>
        <li>
          {t('passkey.run')}
          <div class="json">
            <CopyButton text={request} label={t('passkey.request')} />
            <pre tabIndex={0} aria-label={t('passkey.request')}>
              {request}
            </pre>
          </div>
        </li>
        <li>{t('passkey.paste')}</li>
      </ol>
      <Field label={t('passkey.answer')}>
        {(id) => (
          <textarea
            id={id}
            rows={4}
            required
            spellcheck={false}
            aria-invalid={text !== '' && !answer}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        )}
      </Field>
      {text !== '' && !answer && (
        <p class="problem" role="alert">
          {t('notJson')}
        </p>
      )}
      <Problem error={error} />
      <Button type="submit" kind="main" busy={busy} disabled={!answer}>
        {t('passkey.send')}
      </Button>
    </form>
  );
}

function Comparison({ session, passkey, heard }: Props) {
  const { busy, error, run } = useAction();
  const confirm = () =>
    run(async () => heard(await call('POST /api/sessions/{sessionId}/passkey/confirm', { path: { sessionId: session } })));
  return (
    <>
      <p class="typed">
        {t('passkey.compare')} <strong>{passkey.code}</strong>
        <span class="hint">{t('passkey.differs')}</span>
      </p>
      <Problem error={error} />
      <Button kind="main" busy={busy} onClick={() => void confirm()}>
        {t('passkey.confirm')}
      </Button>
    </>
  );
}
