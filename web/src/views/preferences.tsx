import { language, theme, type Language, type Theme } from '../state/prefs';
import { t } from '../state/text';

const TONGUES: [Language, string][] = [
  ['en', 'English'],
  ['de', 'Deutsch'],
  ['pt', 'Português'],
  ['es', 'Español'],
];

export function Preferences() {
  return (
    <div class="preferences">
      <label>
        <span class="unseen">{t('language')}</span>
        <select value={language.value} onChange={(event) => (language.value = event.currentTarget.value as Language)}>
          {TONGUES.map(([code, name]) => (
            <option key={code} value={code} lang={code}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="unseen">{t('theme')}</span>
        <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
          <option value="system">{t('theme.system')}</option>
          <option value="light">{t('theme.light')}</option>
          <option value="dark">{t('theme.dark')}</option>
        </select>
      </label>
    </div>
  );
}
