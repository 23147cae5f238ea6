// What happens, as it happens: one stream for the whole page, which comes back by itself and misses nothing.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { address, call } from '../api/client';
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
/** A refused stream is asked for again after this, then after twice that, and so on. */
const RETRY_MS = 2000;
const RETRY_MAX_MS = 30_000;
/** So often in a row the cursor may be why it is refused: it begins anew then. */
const REFUSED_MAX = 3;

let stream: EventSource | undefined;
let cursor: string | undefined;
let hiddenSince = 0;
let leaving: ReturnType<typeof setTimeout> | undefined;
let again: ReturnType<typeof setTimeout> | undefined;
let refused = 0;
let missed = false;

function open() {
  stream?.close();
  clearTimeout(again);
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
    refused = 0;
    if (missed) anew.forEach((told) => told());
    missed = false;
  });
  opened.addEventListener('pruned', () => anew.forEach((told) => told()));
  opened.addEventListener('error', () => {
    if (opened !== stream) return;
    liveState.value = 'lost';
    if (opened.readyState === EventSource.CLOSED) tryLater();
  });
  for (const name of EVENT_NAMES) opened.addEventListener(name, tell);
  stream = opened;
}

/** A browser comes back by itself when a stream breaks, but not when it is answered with an error. */
function tryLater() {
  refused++;
  // Why it was refused is not told to pages: perhaps nobody is logged in any more.
  void call('GET /api/auth/session').catch(() => {});
  if (refused === REFUSED_MAX) {
    cursor = undefined;
    missed = true;
  }
  again = setTimeout(open, Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** (refused - 1)));
}

function leave() {
  clearTimeout(leaving);
  clearTimeout(again);
  stream?.close();
  stream = undefined;
}

function look() {
  clearTimeout(leaving);
  if (document.hidden) {
    hiddenSince = Date.now();
    leaving = setTimeout(leave, UNSEEN_MS);
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
  leave();
  cursor = undefined;
  refused = 0;
  missed = false;
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
