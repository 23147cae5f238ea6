// How many deliveries leave, how many fail, and how far behind they are.
import { useMemo, useState } from 'preact/hooks';
import { call, isMissing } from '../api/client';
import type { DeliveryRatePoint, DeliveryRates } from '../api/types.gen';
import { Chart } from '../parts/chart';
import { Table, type Column } from '../parts/table';
import { Clock, exact } from '../parts/time';
import { Button, Chips, Problem, Waiting } from '../parts/ui';
import { useLoad } from '../state/load';
import { language } from '../state/prefs';
import { place, refine } from '../state/route';
import { number, t } from '../state/text';

const PERIODS = ['15', '60', '360'] as const;
const EVERY_MS = 10_000;
const MINUTE_MS = 60_000;

export function RatesCard() {
  const period = PERIODS.find((one) => one === place.value.query.get('minutes')) ?? '60';
  const [asTable, show] = useState(false);
  const { data, error, reload } = useLoad(
    (signal) => call('GET /api/lanes/rates', { query: { minutes: Number(period) }, signal }),
    [period],
    undefined,
    EVERY_MS,
  );
  if (isMissing(error) && !data) return null;
  return (
    <section class="card">
      <div class="bar">
        <h2>{t('lanes.rates')}</h2>
        <span class="grow" />
        <Chips
          label={t('lanes.period')}
          chips={PERIODS.map((id) => ({ id, label: Number(id) < 120 ? t('lanes.minutes', { n: id }) : t('lanes.hours', { n: Number(id) / 60 }) }))}
          chosen={period}
          choose={(minutes) => refine({ minutes: minutes === '60' ? '' : minutes })}
        />
        <Button pressed={asTable} onClick={() => show(!asTable)}>
          {t('chart.table')}
        </Button>
      </div>
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data && (asTable ? <AsTable rates={data} /> : <Charts rates={data} />)}
      {data && <p class="hint">{t('lanes.ratesHint', { time: exact(data.since) })}</p>}
    </section>
  );
}

function perMinute(count: number, { bucketMs }: DeliveryRates): number {
  return (count * MINUTE_MS) / Math.max(1, bucketMs);
}

/** A span of time in one unit. */
export function span(ms: number): string {
  const [unit, size] = ms >= 2 * 3_600_000 ? ['hour', 3_600_000] : ms >= 2 * MINUTE_MS ? ['minute', MINUTE_MS] : ['second', 1000];
  const digits = ms < 10_000 ? 1 : 0;
  const format = { style: 'unit', unit: unit as string, unitDisplay: 'short', maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(language.value, format).format(ms / (size as number));
}

function Charts({ rates }: { rates: DeliveryRates }) {
  const { points } = rates;
  const { at, rate, lag } = useMemo(
    () => ({
      at: points.map((point) => Date.parse(point.at) / 1000),
      rate: [
        { label: t('lanes.delivered'), colour: '--good', values: points.map(({ delivered }) => perMinute(delivered, rates)) },
        { label: t('lanes.failed'), colour: '--bad', values: points.map(({ failed }) => perMinute(failed, rates)) },
      ],
      lag: [{ label: t('lanes.oldest'), colour: '--busy', values: points.map(({ oldestAgeMs }) => oldestAgeMs) }],
    }),
    [rates, language.value],
  );
  const count = (value: number) => number(Math.round(value * 10) / 10);
  return (
    <div class="charts">
      <Chart label={t('lanes.rate')} at={at} lines={rate} value={count} />
      <Chart label={t('lanes.lag')} at={at} lines={lag} value={span} />
    </div>
  );
}

function AsTable({ rates }: { rates: DeliveryRates }) {
  const columns: Column<DeliveryRatePoint>[] = [
    { id: 'when', label: t('when'), show: ({ at }) => <Clock at={at} /> },
    { id: 'delivered', label: t('lanes.delivered'), show: ({ delivered }) => number(delivered) },
    { id: 'failed', label: t('lanes.failed'), show: ({ failed }) => number(failed) },
    { id: 'waiting', label: t('lanes.waiting'), rank: 2, show: ({ waiting }) => number(waiting) },
    { id: 'oldest', label: t('lanes.oldest'), rank: 2, show: ({ oldestAgeMs }) => span(oldestAgeMs) },
  ];
  const rows = useMemo(() => [...rates.points].reverse(), [rates]);
  return <Table label={t('lanes.rates')} rows={rows} columns={columns} keyOf={({ at }) => at} rowHeight={32} />;
}
