// A list of which only the rows that are seen exist.
import type { ComponentChildren } from 'preact';
import { useSeen } from './seen';

type ListProps<T> = {
  label: string;
  rows: T[];
  rowHeight: number;
  keyOf: (row: T) => string;
  show: (row: T) => ComponentChildren;
};

const SPARE = 6;

export function List<T>({ label, rows, rowHeight, keyOf, show }: ListProps<T>) {
  const { box, first, last } = useSeen(rows.length, rowHeight, SPARE);
  return (
    <div class="list-box" ref={box} tabIndex={0} role="region" aria-label={label}>
      <ul style={{ paddingTop: `${first * rowHeight}px`, paddingBottom: `${(rows.length - last) * rowHeight}px` }}>
        {rows.slice(first, last).map((row) => (
          <li key={keyOf(row)} style={{ height: `${rowHeight}px` }}>
            {show(row)}
          </li>
        ))}
      </ul>
    </div>
  );
}
