// Lines over time, with what they say in words under them. Who cannot see them has the table beside.
import { useEffect, useRef, useState } from 'preact/hooks';
import { language } from '../state/prefs';
import { t } from '../state/text';
import type { Drawing, Drawn } from './draw';

export type Line = { label: string; values: number[]; colour: string };
type ChartProps = { label: string; at: number[]; lines: Line[]; value: (value: number) => string };

export function Chart({ label, at, lines, value }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawn | undefined>(undefined);
  const [pointed, point] = useState<number>();
  const clock = new Intl.DateTimeFormat(language.value, { timeStyle: 'short' });
  const drawing: Drawing = { at, lines, value, time: (seconds) => clock.format(seconds * 1000) };
  const last = useRef(drawing);
  last.current = drawing;
  useEffect(() => {
    let over = false;
    void import('./draw').then(({ Drawn }) => {
      if (!over) drawn.current = new Drawn(box.current!, last.current, point);
    }, () => {
      // A newer gateway has other files by now: the words below say what the lines would.
    });
    return () => {
      over = true;
      drawn.current?.end();
      drawn.current = undefined;
    };
  }, []);
  useEffect(() => drawn.current?.show(drawing), [at, lines, language.value]);
  const index = pointed !== undefined && pointed < at.length ? pointed : at.length - 1;
  const when = index < 0 ? '' : index === at.length - 1 ? t('chart.now') : clock.format(at[index]! * 1000);
  const words = lines.map(({ label, values }) => `${label} ${values.length ? value(values[index]!) : '–'}`);
  return (
    <figure class="chart">
      <figcaption>{label}</figcaption>
      <div ref={box} class="chart-box" role="img" aria-label={`${label}, ${when}: ${words.join(', ')}`} />
      <p class="hint legend" aria-hidden="true">
        {when}
        {lines.map(({ label, colour }, number) => (
          <span key={label}>
            <i style={{ background: `var(${colour})` }} /> {words[number]}
          </span>
        ))}
      </p>
    </figure>
  );
}
