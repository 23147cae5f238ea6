// Which view is shown: what stands behind `#` in the address, so that no server has to know the views.
import { signal } from '@preact/signals';
import { placeOf, type Place } from '../rules/place';

export const place = signal<Place>(placeOf(location.hash));
addEventListener('hashchange', () => (place.value = placeOf(location.hash)));

export function link(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

export function go(...parts: string[]) {
  location.hash = link(...parts);
}

/** Goes on to another place, to which the browser's way back does not lead. */
export function replace(address: string) {
  try {
    history.replaceState(null, '', address);
  } catch {
    // Browsers refuse when it is asked too often; the view changes all the same.
  }
  place.value = placeOf(address);
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
  replace(link(...parts) + (text ? `?${text}` : ''));
}
