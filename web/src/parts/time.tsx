import { signal } from '@preact/signals';
import { language } from '../state/prefs';

/** Moves once a second while the page is seen. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
];

export function ago(at: number, from: number, tongue: string): string {
  const seconds = Math.round((at - from) / 1000);
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? (['second', 1] as const);
  const format = new Intl.RelativeTimeFormat(tongue, { numeric: 'auto', style: 'short' });
  return format.format(Math.trunc(seconds / size), unit);
}

export function exact(at: string | number | Date, tongue: string = language.value): string {
  return new Intl.DateTimeFormat(tongue, { dateStyle: 'medium', timeStyle: 'long' }).format(new Date(at));
}

/** "3 min. ago", and the time itself when it is asked. */
export function Time({ at }: { at: string | null | undefined }) {
  if (!at) return <span class="quiet">–</span>;
  return (
    <time dateTime={at} title={exact(at)}>
      {ago(Date.parse(at), now.value, language.value)}
    </time>
  );
}

/** The time of day. */
export function Clock({ at }: { at: string }) {
  const format = new Intl.DateTimeFormat(language.value, { timeStyle: 'medium' });
  return (
    <time dateTime={at} title={exact(at)}>
      {format.format(new Date(at))}
    </time>
  );
}
