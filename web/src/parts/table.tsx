// A table that is as fast with 50,000 rows as with ten: only the rows that are seen exist.
import type { ComponentChildren } from 'preact';
import { useSeen } from './seen';

export type Column<T> = {
  id: string;
  label: string;
  show: (row: T) => ComponentChildren;
  /** 1 is shown on the narrowest screens too, 3 only on wide ones. */
  rank?: 1 | 2 | 3;
  width?: string;
  /** The label is read, but not seen. */
  unseen?: boolean;
};

type TableProps<T> = {
  label: string;
  rows: T[];
  columns: Column<T>[];
  keyOf: (row: T) => string;
  /** What a click on the row opens; the first cell holds the link for the keyboard. */
  open?: (row: T) => void;
  /** Called when the end of the rows comes into sight. */
  more?: () => void;
  rowHeight?: number;
};

/** Rows above and below those that are seen. */
const SPARE = 8;

export function Table<T>({ label, rows, columns, keyOf, open, more, rowHeight = 44 }: TableProps<T>) {
  const { box, first, last } = useSeen(rows.length, rowHeight, SPARE);
  if (more && last >= rows.length && rows.length) queueMicrotask(more);
  const seen = rows.slice(first, last);

  return (
    <div class="table-box" ref={box} tabIndex={0} role="region" aria-label={label}>
      <table aria-rowcount={rows.length + 1}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.id} scope="col" class={`rank-${column.rank ?? 1}`} style={column.width ? { width: column.width } : {}}>
                {column.unseen ? <span class="unseen">{column.label}</span> : column.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <Gap height={first * rowHeight} columns={columns.length} />}
          {seen.map((row, at) => (
            <tr
              key={keyOf(row)}
              aria-rowindex={first + at + 2}
              class={open ? 'opens' : ''}
              style={{ height: `${rowHeight}px` }}
              onClick={open && ((event) => isOfRow(event) && open(row))}
            >
              {columns.map((column) => (
                <td key={column.id} class={`rank-${column.rank ?? 1}${column.unseen ? ' tight' : ''}`}>
                  {column.show(row)}
                </td>
              ))}
            </tr>
          ))}
          {last < rows.length && <Gap height={(rows.length - last) * rowHeight} columns={columns.length} />}
        </tbody>
      </table>
    </div>
  );
}

function Gap({ height, columns }: { height: number; columns: number }) {
  return (
    <tr aria-hidden="true" style={{ height: `${height}px` }}>
      <td colSpan={columns} />
    </tr>
  );
}

/** A click on a button or a link in the row is for that. */
function isOfRow(event: MouseEvent): boolean {
  return !(event.target as Element).closest('a, button, input, label');
}
