// What a person chose for this browser.
import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

function kept<T extends string>(name: string, choices: readonly T[], usual: T) {
  let found: string | undefined;
  try {
    found = localStorage.getItem(name) ?? undefined;
  } catch {
    // The browser keeps nothing: the choice lasts as long as the page.
  }
  const chosen = signal(choices.find((choice) => choice === found) ?? usual);
  effect(() => {
    const value = chosen.value;
    try {
      localStorage.setItem(name, value);
    } catch {
      // As above.
    }
  });
  return chosen;
}

export const theme = kept<Theme>('waypost.theme', ['system', 'light', 'dark'], 'system');
effect(() => {
  document.documentElement.dataset['theme'] = theme.value;
});

const LANGUAGES = ['en', 'de', 'pt', 'es'] as const;
export type Language = (typeof LANGUAGES)[number];
const first = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => LANGUAGES.includes(tag as Language));
export const language = kept<Language>('waypost.language', LANGUAGES, (first ?? 'en') as Language);
