// Reads for a view: again when its inputs change, and when an event says that the answer is another one by now.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { LoggedEvent } from '../api/types.gen';
import { useAnew, useLive } from './live';

/** Between two reads that events ask for; after a long one, so many times as long. */
const CALM_MS = 700;
const CALM_TIMES = 4;

export type Loaded<T> = {
  data: T | undefined;
  error: Error | undefined;
  loading: boolean;
  reload: () => void;
};

export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[],
  concerns?: (event: LoggedEvent) => boolean,
  everyMs?: number,
  known?: T,
): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: Error; loading: boolean }>({
    loading: true,
    ...(known === undefined ? {} : { data: known }),
  });
  const [turn, setTurn] = useState(0);
  // A page that nobody sees asks nothing; when it is seen again it asks once.
  const waiting = useRef(false);
  const calm = useRef(CALM_MS);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // A read that is under way is not begun anew for each event: a slow one would never end.
  const running = useRef(false);
  const missed = useRef(false);
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);

  useEffect(() => {
    const stop = new AbortController();
    const began = performance.now();
    running.current = true;
    missed.current = false;
    setState((state) => ({ ...state, loading: true }));
    const ended = (next: (state: { data?: T }) => { data?: T; error?: Error }) => {
      if (stop.signal.aborted) return;
      running.current = false;
      calm.current = Math.max(CALM_MS, CALM_TIMES * (performance.now() - began));
      setState((state) => ({ ...next(state), loading: false }));
      if (missed.current) soon();
    };
    load(stop.signal).then(
      (data) => ended(() => ({ data })),
      (error: Error) => ended(({ data }) => ({ ...(data === undefined ? {} : { data }), error })),
    );
    return () => stop.abort();
  }, [...inputs, turn]);

  const soon = useCallback(() => {
    if (document.hidden) waiting.current = true;
    if (timer.current !== undefined || document.hidden) return;
    timer.current = setTimeout(() => {
      timer.current = undefined;
      if (running.current) missed.current = true;
      else reload();
    }, calm.current);
  }, []);
  useEffect(() => {
    const seen = () => {
      if (document.hidden || !waiting.current) return;
      waiting.current = false;
      reload();
    };
    document.addEventListener('visibilitychange', seen);
    return () => {
      document.removeEventListener('visibilitychange', seen);
      clearTimeout(timer.current);
    };
  }, []);
  useLive((event) => concerns?.(event) && soon());
  useAnew(reload);
  useEffect(() => {
    if (!everyMs) return;
    const timer = setInterval(() => document.hidden || running.current || reload(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);

  return { data: state.data, error: state.error, loading: state.loading, reload };
}

/** Runs a change: says that it is under way, and what went wrong. */
export function useAction(): {
  busy: boolean;
  error: Error | undefined;
  run: (action: () => Promise<unknown>) => Promise<boolean>;
} {
  const [state, setState] = useState<{ busy: boolean; error?: Error }>({ busy: false });
  // Enter may come again before the button is shown as busy.
  const running = useRef(false);
  const run = useCallback(async (action: () => Promise<unknown>) => {
    if (running.current) return false;
    running.current = true;
    setState({ busy: true });
    try {
      await action();
      setState({ busy: false });
      return true;
    } catch (error) {
      setState({ busy: false, error: error as Error });
      return false;
    } finally {
      running.current = false;
    }
  }, []);
  return { busy: state.busy, error: state.error, run };
}
