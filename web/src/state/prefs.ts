// What a person chose for this browser.
import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

function kept<T extends string>(name: string, usual: T) {
  let found: string | null = null;
  try {
    found = localStorage.getItem(name);
  } catch {
    // The browser keeps nothing: the choice lasts as long as the page.
  }
  const chosen = signal((found ?? usual) as T);
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

export const theme = kept<Theme>('waypost.theme', 'system');
effect(() => {
  document.documentElement.dataset['theme'] = theme.value;
});

const LANGUAGES = ['en', 'de', 'pt', 'es'] as const;
export type Language = (typeof LANGUAGES)[number];
const first = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => LANGUAGES.includes(tag as Language));
export const language = kept<Language>('waypost.language', (first ?? 'en') as Language);
