// Which rows of a long list are seen: only those exist.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Before the box was measured. */
const HEIGHT = 600;

/** The box that scrolls, and the rows from `first` to before `last` that are in it, with some to spare. */
export function useSeen(count: number, rowHeight: number, spare: number) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: HEIGHT });
  useLayoutEffect(() => {
    const element = box.current!;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight });
    look();
    element.addEventListener('scroll', look, { passive: true });
    const watcher = new ResizeObserver(look);
    watcher.observe(element);
    return () => {
      element.removeEventListener('scroll', look);
      watcher.disconnect();
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - spare);
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + spare);
  return { box, first, last };
}
