// The day, with the hours in which nothing is sent, and how a campaign goes over its days.
import { useMemo } from 'preact/hooks';
import type { BulkForecast } from '../api/types.gen';
import { exact } from '../parts/time';
import { minutesOf, plan, quietPart, type PlannedDay, type Quiet } from '../rules/pace';
import { language } from '../state/prefs';
import { number, t } from '../state/text';

/** Days that are drawn. */
const DAYS_MAX = 7;
const HOUR_SECONDS = 3600;
const QUIET_FROM = 0.5;

export type PaceOptions = { delay: number; from: string; to: string; at: string };

function quietOf({ from, to }: PaceOptions): Quiet | undefined {
  return from && to ? { from: minutesOf(from), to: minutesOf(to) } : undefined;
}

export function DayStrip({ options, forecast }: { options: PaceOptions; forecast: BulkForecast | undefined }) {
  const quiet = quietOf(options);
  const text = quiet ? t('campaigns.quietHours', { from: options.from, to: options.to }) : t('campaigns.noQuiet');
  const perHour = number(Math.floor(HOUR_SECONDS / options.delay));
  const all = useMemo(
    () => (forecast?.startsAt ? plan(Date.parse(forecast.startsAt), forecast.totalMessages, options.delay * 1000, quiet) : []),
    [forecast],
  );
  if (!forecast || !all.length) {
    return (
      <figure class="day-strip">
        <Hours quiet={quiet} />
        <figcaption class="hint">
          {t('campaigns.perHour', { n: perHour })}. {text}
        </figcaption>
      </figure>
    );
  }
  const end = forecast.estimatedCompletionTime;
  const days = all.slice(0, DAYS_MAX);
  const most = Math.max(1, ...days.flatMap(({ hours }) => hours));
  return (
    <figure class="day-strip">
      <h3>{t('campaigns.plan')}</h3>
      <Hours quiet={quiet} />
      <ol class="plan">
        {days.map((of, index) => (
          <li key={of.day}>
            <Bars of={of} quiet={quiet} most={most} isEnd={index === all.length - 1} />
            <span class="hint">{sentence(of, index === all.length - 1)}</span>
          </li>
        ))}
      </ol>
      {all.length > DAYS_MAX && <p class="hint">{t('campaigns.planMore', { time: end ? exact(end) : t('campaigns.never') })}</p>}
      <figcaption class="hint">
        {t('campaigns.perHour', { n: perHour })}. {text} {t('campaigns.planHint')}
      </figcaption>
    </figure>
  );
}

function Hours({ quiet }: { quiet: Quiet | undefined }) {
  return (
    <div aria-hidden="true">
      {Array.from({ length: 24 }, (_, hour) => (
        <span key={hour} class={quietPart(hour, quiet) >= QUIET_FROM ? 'is-quiet' : ''}>
          {hour % 6 === 0 ? hour : ''}
        </span>
      ))}
    </div>
  );
}

type BarsProps = { of: PlannedDay; quiet: Quiet | undefined; most: number; isEnd: boolean };

function Bars({ of, quiet, most, isEnd }: BarsProps) {
  const lastHour = of.last === undefined || !isEnd ? -1 : new Date(of.last).getHours();
  return (
    <div class="bars" aria-hidden="true">
      {of.hours.map((count, hour) => (
        <span key={hour} class={quietPart(hour, quiet) >= QUIET_FROM ? 'is-quiet' : ''}>
          <i class={hour === lastHour ? 'is-last' : ''} style={{ blockSize: `${count ? Math.max(8, (100 * count) / most) : 0}%` }} />
        </span>
      ))}
    </div>
  );
}

function sentence(of: PlannedDay, isEnd: boolean): string {
  const day = new Intl.DateTimeFormat(language.value, { weekday: 'short', day: 'numeric', month: 'short' }).format(of.day);
  if (of.first === undefined || of.last === undefined) return t('campaigns.planNone', { day });
  const clock = new Intl.DateTimeFormat(language.value, { timeStyle: 'short' });
  const n = of.hours.reduce((sum, count) => sum + count, 0);
  return t(isEnd ? 'campaigns.planEnd' : 'campaigns.planRow', { day, n, from: clock.format(of.first), to: clock.format(of.last) });
}
