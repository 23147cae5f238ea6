// Which view is shown: what stands behind `#` in the address, so that no server has to know the views.
import { signal } from '@preact/signals';

export type Place = { parts: string[]; query: URLSearchParams };

function read(): Place {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  return { parts, query: new URLSearchParams(query) };
}

export const place = signal<Place>(read());
addEventListener('hashchange', () => (place.value = read()));

export function link(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

export function go(...parts: string[]) {
  location.hash = link(...parts);
}

/** Changes the query of the place, without a new entry in the history. */
export function refine(changes: Record<string, string>) {
  const { parts, query } = place.value;
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  history.replaceState(null, '', link(...parts) + (text ? `?${text}` : ''));
  place.value = read();
}
