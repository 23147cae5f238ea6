// What happens, as it happens: one stream for the whole page, which comes back by itself and misses nothing.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { address } from '../api/client';
import { EVENT_NAMES, type LoggedEvent } from '../api/types.gen';

export type LiveState = 'connecting' | 'live' | 'lost';
export const liveState = signal<LiveState>('connecting');

/** Events that are kept to be looked at. */
export const RECENT_MAX = 500;
/** Between two times that the kept events are shown anew. */
const SHOWN_EVERY_MS = 250;
/** The newest first. */
export const recent = signal<readonly LoggedEvent[]>([]);
let fresh: LoggedEvent[] = [];

function keep(event: LoggedEvent) {
  fresh.push(event);
  if (fresh.length > RECENT_MAX) fresh.shift();
  if (fresh.length === 1) {
    setTimeout(() => {
      recent.value = [...fresh.reverse(), ...recent.value].slice(0, RECENT_MAX);
      fresh = [];
    }, SHOWN_EVERY_MS);
  }
}

type Listener = (event: LoggedEvent) => void;
const listeners = new Set<Listener>();
let stream: EventSource | undefined;

export function connect() {
  disconnect();
  liveState.value = 'connecting';
  const opened = new EventSource(address('/api/events'));
  const tell = (message: MessageEvent<string>) => {
    const event = JSON.parse(message.data) as LoggedEvent;
    keep(event);
    for (const listener of listeners) listener(event);
  };
  opened.addEventListener('ready', () => (liveState.value = 'live'));
  opened.addEventListener('error', () => (liveState.value = 'lost'));
  for (const name of EVENT_NAMES) opened.addEventListener(name, tell);
  stream = opened;
}

export function disconnect() {
  stream?.close();
  stream = undefined;
  fresh = [];
  recent.value = [];
}

/** Calls `heard` for each event while the component is shown. */
export function useLive(heard: Listener) {
  const last = useRef(heard);
  last.current = heard;
  useEffect(() => {
    const listener: Listener = (event) => last.current(event);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
}
