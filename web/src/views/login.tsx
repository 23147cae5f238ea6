import { useState } from 'preact/hooks';
import { Button, Field, Problem } from '../parts/ui';
import { useAction } from '../state/load';
import { t } from '../state/text';
import { linkFailed, logIn } from '../state/who';
import { Preferences } from './preferences';

export function LoginView() {
  const [key, setKey] = useState('');
  const { busy, error, run } = useAction();
  return (
    <main class="login">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void run(() => logIn(key.trim()));
        }}
      >
        <h1>Waypost</h1>
        {linkFailed.value && (
          <p class="problem" role="alert">
            {t('login.linkOver')}
          </p>
        )}
        <Field label={t('login.key')} hint={t('login.hint')}>
          {(id) => (
            <input
              id={id}
              type="password"
              autocomplete="current-password"
              required
              value={key}
              onInput={(event) => setKey(event.currentTarget.value)}
            />
          )}
        </Field>
        <Problem error={error} />
        <Button type="submit" kind="main" busy={busy}>
          {t('login.enter')}
        </Button>
        <p class="hint">
          {t('login.open')} <code>waypost open</code>
        </p>
      </form>
      <Preferences />
    </main>
  );
}
