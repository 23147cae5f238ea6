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
/** Told when events were missed: what was read before may be another by now. */
const anew = new Set<() => void>();

/** A page that nobody sees gives its stream back after this: browsers have few connections for all pages of a host. */
const UNSEEN_MS = 10_000;
/** One that comes back later than this begins anew, instead of hearing everything that happened. */
const FORGET_MS = 5 * 60_000;

let stream: EventSource | undefined;
let cursor: string | undefined;
let hiddenSince = 0;
let leaving: ReturnType<typeof setTimeout> | undefined;

function open() {
  stream?.close();
  liveState.value = 'connecting';
  const opened = new EventSource(address('/api/events', {}, { after: cursor }));
  const tell = (message: MessageEvent<string>) => {
    const event = JSON.parse(message.data) as LoggedEvent;
    cursor = event.cursor;
    keep(event);
    for (const listener of listeners) listener(event);
  };
  opened.addEventListener('ready', (message) => {
    cursor ??= (message as MessageEvent<string>).lastEventId;
    liveState.value = 'live';
  });
  opened.addEventListener('pruned', () => anew.forEach((told) => told()));
  opened.addEventListener('error', () => (liveState.value = 'lost'));
  for (const name of EVENT_NAMES) opened.addEventListener(name, tell);
  stream = opened;
}

function look() {
  clearTimeout(leaving);
  if (document.hidden) {
    hiddenSince = Date.now();
    leaving = setTimeout(() => {
      stream?.close();
      stream = undefined;
    }, UNSEEN_MS);
    return;
  }
  if (stream && stream.readyState !== EventSource.CLOSED) return;
  const late = Date.now() - hiddenSince > FORGET_MS;
  if (late) cursor = undefined;
  open();
  if (late) anew.forEach((told) => told());
}

export function connect() {
  document.addEventListener('visibilitychange', look);
  open();
}

export function disconnect() {
  document.removeEventListener('visibilitychange', look);
  clearTimeout(leaving);
  stream?.close();
  stream = undefined;
  cursor = undefined;
  fresh = [];
  recent.value = [];
}

/** Calls `told` when events were missed, while the component is shown. */
export function useAnew(told: () => void) {
  useEffect(() => {
    anew.add(told);
    return () => {
      anew.delete(told);
    };
  }, [told]);
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
