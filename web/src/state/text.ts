// Texts of the chosen language. English is part of the page; the others come when they are chosen.
import { effect, signal } from '@preact/signals';
import { en } from '../text/en';
import { language, type Language } from './prefs';

export type Catalogue = Record<keyof typeof en, string>;
export type TextKey = keyof typeof en;

const others: Record<Exclude<Language, 'en'>, () => Promise<{ texts: Catalogue }>> = {
  de: () => import('../text/de'),
  pt: () => import('../text/pt'),
  es: () => import('../text/es'),
};
const texts = signal<Catalogue>(en);

effect(() => {
  const chosen = language.value;
  document.documentElement.lang = chosen;
  if (chosen === 'en') texts.value = en;
  else {
    others[chosen]().then(
      ({ texts: found }) => language.value === chosen && (texts.value = found),
      // A newer gateway has other files by now: the texts stay as they are until the page is loaded again.
      () => {},
    );
  }
});

/** A text, with `{name}` filled in. One with a `|` has a form for one and a form for more, chosen by the number `n`. */
export function t(key: TextKey, values: Record<string, string | number> = {}): string {
  const [one = '', more] = texts.value[key].split('|');
  const n = values['n'];
  const isOne = more === undefined || (typeof n === 'number' && new Intl.PluralRules(language.value).select(n) === 'one');
  return (isOne ? one : more).replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    return typeof value === 'number' ? number(value) : (value ?? whole);
  });
}

/** The text of a word of the API; the word itself when there is none. */
export function word(group: string, of: string): string {
  const key = `${group}.${of}`;
  return key in texts.value ? t(key as TextKey) : of;
}

export function number(value: number): string {
  return new Intl.NumberFormat(language.value).format(value);
}
