// Lists of recipients as people save them: commas, semicolons or tabs, with quotes or without.
export type Sheet = { columns: string[]; rows: string[][] };

const SEPARATORS = [',', ';', '\t', '|'];

export function parseCsv(text: string): Sheet {
  const clean = text.replace(/^\uFEFF/, '');
  const head = clean.split(/\r\n|\r|\n/, 1)[0] ?? '';
  const separator = SEPARATORS.reduce((best, one) => (head.split(one).length > head.split(best).length ? one : best));
  const lines = records(clean, separator).filter((cells) => cells.some((cell) => cell.trim()));
  const [columns = [], ...rows] = lines;
  return { columns: columns.map((name) => name.trim()), rows };
}

function records(text: string, separator: string): string[][] {
  const all: string[][] = [];
  let cells: string[] = [];
  let cell = '';
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at]!;
    if (quoted) {
      if (sign !== '"') cell += sign;
      else if (text[at + 1] === '"') cell += text[at++];
      else quoted = false;
    } else if (sign === '"' && cell === '') quoted = true;
    else if (sign === separator) {
      cells.push(cell);
      cell = '';
    } else if (sign === '\n' || sign === '\r') {
      if (sign === '\r' && text[at + 1] === '\n') at++;
      all.push([...cells, cell]);
      [cells, cell] = [[], ''];
    } else cell += sign;
  }
  if (cell || cells.length) all.push([...cells, cell]);
  return all;
}

/** The column that most looks like phone numbers. */
export function guessNumberColumn({ columns, rows }: Sheet): number {
  const named = columns.findIndex((name) => /^(chat ?id|phone|number|tel|mobile|telefon|telefone|celular|whatsapp)/i.test(name));
  if (named >= 0) return named;
  const like = (column: number) => rows.slice(0, 50).filter((row) => /^\+?[\d\s()./-]{7,}$/.test(row[column] ?? '')).length;
  return columns.reduce((best, _, column) => (like(column) > like(best) ? column : best), 0);
}

const PLACEHOLDER = /\{\{\s*([^{}]+?)\s*\}\}/g;

export function placeholders(text: string): string[] {
  return [...new Set([...text.matchAll(PLACEHOLDER)].map((found) => found[1]!))];
}

export function fill(text: string, values: Record<string, string>): string {
  return text.replace(PLACEHOLDER, (whole, name: string) => values[name] || whole);
}

/** A cell as a file of comma-separated values holds it; one that a spreadsheet would run as a formula is made text. */
export function cell(value: string | number): string {
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",;\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
