import { signal } from '@preact/signals';
import { gatewayNow } from '../api/client';
import { language } from '../state/prefs';

/** The gateway's time: moves once a second while the page is seen. */
export const now = signal(gatewayNow());
setInterval(() => {
  if (!document.hidden) now.value = gatewayNow();
}, 1000);

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
];

export function ago(at: number, from: number, tongue: string): string {
  if (Number.isNaN(at)) return '–';
  const seconds = Math.round((at - from) / 1000);
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? (['second', 1] as const);
  const format = new Intl.RelativeTimeFormat(tongue, { numeric: 'auto', style: 'short' });
  return format.format(Math.trunc(seconds / size), unit);
}

export function exact(at: string | number | Date, tongue: string = language.value): string {
  return formatted(at, { dateStyle: 'medium', timeStyle: 'long' }, tongue);
}

/** What is no time is shown as it is: one wrong row takes no page down. */
function formatted(at: string | number | Date, style: Intl.DateTimeFormatOptions, tongue: string): string {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? String(at) : new Intl.DateTimeFormat(tongue, style).format(time);
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
  return (
    <time dateTime={at} title={exact(at)}>
      {formatted(at, { timeStyle: 'medium' }, language.value)}
    </time>
  );
}
