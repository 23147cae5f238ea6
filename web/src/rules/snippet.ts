// What a search found, as text: the answer marks it up as HTML, and nothing of it is made markup here.
export type Piece = { text: string; found: boolean };

const SIGNS: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'", '#34': '"' };

function plain(text: string): string {
  return text.replace(/&(#?\w+);/g, (whole, name: string) => (Object.hasOwn(SIGNS, name.toLowerCase()) ? SIGNS[name.toLowerCase()]! : whole));
}

/** The parts of a snippet, in order. */
export function pieces(snippet: string): Piece[] {
  const all: Piece[] = [];
  snippet.split('<mark>').forEach((part, at) => {
    if (at === 0) {
      all.push({ text: plain(part), found: false });
      return;
    }
    const [found = '', ...rest] = part.split('</mark>');
    all.push({ text: plain(found), found: true }, { text: plain(rest.join('')), found: false });
  });
  return all.filter(({ text }) => text);
}
