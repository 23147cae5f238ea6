// A list of which only the rows that are seen exist.
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

type ListProps<T> = {
  label: string;
  rows: T[];
  rowHeight: number;
  keyOf: (row: T) => string;
  show: (row: T) => ComponentChildren;
};

const SPARE = 6;

export function List<T>({ label, rows, rowHeight, keyOf, show }: ListProps<T>) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useLayoutEffect(() => {
    const element = box.current!;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight });
    look();
    element.addEventListener('scroll', look, { passive: true });
    const watcher = new ResizeObserver(look);
    watcher.observe(element);
    return () => {
      element.removeEventListener('scroll', look);
      watcher.disconnect();
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - SPARE);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + SPARE);
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
