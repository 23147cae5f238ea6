// Lists of recipients as people save them: commas, semicolons or tabs, with quotes or without.
export type Sheet = { columns: string[]; rows: string[][] };

/** The text of a file: programs that do not write UTF-8 write what Windows calls ANSI. */
export function decode(bytes: ArrayBuffer): string {
  const head = new Uint8Array(bytes.slice(0, 2));
  if (head[0] === 0xff && head[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

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

/** As the gateway reads it: a backslash makes a brace plain, and single braces count where they name a variable. */
const PLACEHOLDER = /\\([{}])|\{\{([^{}]*[^{}\s][^{}]*)\}\}|\{([^{}]*)\}/g;

/** The names in double braces, each of which needs a value. */
export function placeholders(text: string): string[] {
  const names = [...text.matchAll(PLACEHOLDER)].map((found) => found[2]?.trim());
  return [...new Set(names.filter((name) => name !== undefined))];
}

export function fill(text: string, values: Record<string, string>): string {
  const value = (name: string) => (Object.hasOwn(values, name) ? values[name] : '');
  return text.replace(PLACEHOLDER, (whole, brace?: string, double?: string, single?: string) => {
    if (brace !== undefined) return brace;
    if (double !== undefined) return value(double) || value(double.trim()) || value(double.trim().replace(/\s+/g, ' ')) || whole;
    return value(single ?? '') || whole;
  });
}

/** A cell as a file of comma-separated values holds it; one that a spreadsheet would run as a formula is made text. */
export function cell(value: string | number): string {
  const text = String(value);
  const safe = typeof value === 'string' && /^[=+\-@\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",;\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
