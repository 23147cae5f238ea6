// Texts that a browser saves as files.
import { cell } from '../rules/csv';

export function saveFile(name: string, type: string, text: string) {
  const file = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = file;
  link.download = name;
  link.click();
  // Some browsers read it only after the click.
  setTimeout(() => URL.revokeObjectURL(file), 10_000);
}

/** Rows as a file of comma-separated values, under the names of their columns. */
export function saveCsv(name: string, columns: readonly string[], rows: (string | number | null | undefined)[][]) {
  const lines = [columns, ...rows].map((row) => row.map((value) => cell(value ?? '')).join(','));
  saveFile(name, 'text/csv', lines.join('\r\n'));
}
