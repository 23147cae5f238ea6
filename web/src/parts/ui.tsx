// Small parts that every view is made of.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { signal } from '@preact/signals';
import { Refused } from '../api/client';
import { t } from '../state/text';
import { Icon } from './icons';

type ButtonProps = {
  children: ComponentChildren;
  onClick?: () => void;
  kind?: 'plain' | 'main' | 'danger' | 'bare';
  type?: 'button' | 'submit';
  disabled?: boolean;
  busy?: boolean;
  label?: string;
  pressed?: boolean;
};

export function Button({ children, onClick, kind = 'plain', type = 'button', disabled, busy, label, pressed }: ButtonProps) {
  return (
    <button
      type={type}
      class={`button ${kind}`}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      aria-label={label}
      aria-pressed={pressed}
      onClick={onClick}
    >
      {children}
    </button>
  );
}

export type Tone = 'good' | 'bad' | 'warn' | 'busy' | 'calm';
const SIGNS: Record<Tone, string> = { good: '●', bad: '✕', warn: '▲', busy: '◌', calm: '○' };

/** A state: a sign, a word and a colour. */
export function Pill({ tone, children, title }: { tone: Tone; children: ComponentChildren; title?: string }) {
  return (
    <span class={`pill ${tone}`} title={title}>
      <span aria-hidden="true">{SIGNS[tone]}</span> {children}
    </span>
  );
}

export function Field({ label, hint, children }: { label: string; hint?: string; children: (id: string) => JSX.Element }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(id)}
      {hint && <p class="hint">{hint}</p>}
    </div>
  );
}

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  return (
    <button
      type="button"
      class="copy"
      aria-label={`${t('copy')}: ${label ?? text}`}
      onClick={(event) => {
        event.stopPropagation();
        const button = event.currentTarget;
        void copy(text, button).then((copied) => {
          setDone(copied);
          if (!copied) toast(t('notCopied'), true);
        });
      }}
    >
      <Icon name={done ? 'done' : 'copy'} />
      <span class="unseen" role="status">
        {done ? t('copied') : ''}
      </span>
    </button>
  );
}

/** Without TLS browsers have no clipboard for pages, but for the old command. */
async function copy(text: string, button: HTMLElement): Promise<boolean> {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // The old way, then.
    }
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'unseen';
  // Beside the button: what stands outside an open dialog cannot be selected.
  button.after(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  button.focus();
  return done;
}

/** An id or an address, with its copy button. */
export function Code({ children, short }: { children: string; short?: number }) {
  const shown = short && children.length > short ? `${children.slice(0, short)}…` : children;
  return (
    <span class="code">
      <code title={children}>{shown}</code>
      <CopyButton text={children} />
    </span>
  );
}

export function Problem({ error, retry }: { error: Error | undefined; retry?: () => void }) {
  if (!error) return null;
  const refused = error instanceof Refused ? error : undefined;
  return (
    <div class="problem" role="alert">
      {refused ? refused.problems.map((problem, at) => <p key={at}>{problem}</p>) : <p>{t('unreachable')}</p>}
      {refused?.requestId && (
        <p class="hint">
          {t('requestId')} <Code>{refused.requestId}</Code>
        </p>
      )}
      {retry && <Button onClick={retry}>{t('tryAgain')}</Button>}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Waiting() {
  return (
    <p class="waiting" role="status">
      <span class="spinner" aria-hidden="true" /> {t('loading')}
    </p>
  );
}

type Toast = { id: number; text: string; bad: boolean };
const toasts = signal<Toast[]>([]);
let toastCount = 0;

export function toast(text: string, bad = false) {
  const id = ++toastCount;
  toasts.value = [...toasts.value.slice(-3), { id, text, bad }];
  setTimeout(() => (toasts.value = toasts.value.filter((one) => one.id !== id)), bad ? 8000 : 4000);
}

/** Open dialogs, the topmost last: nothing outside of it is seen or read, toasts neither. */
const sheets = signal<readonly object[]>([]);

export function Toasts({ sheet }: { sheet?: object }) {
  if (sheets.value.at(-1) !== sheet) return null;
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, bad }) => (
        <p key={id} class={bad ? 'toast bad' : 'toast'}>
          {text}
        </p>
      ))}
    </div>
  );
}

/** `firm`: a click beside it does not close it, because what it shows comes only once. */
type SheetProps = { title: string; onClose: () => void; children: ComponentChildren; side?: boolean; firm?: boolean };

/** A dialog; `side` makes it a drawer. The browser keeps the focus in it and closes it by Escape. */
export function Sheet({ title, onClose, children, side, firm }: SheetProps) {
  const element = useRef<HTMLDialogElement>(null);
  const close = useRef(onClose);
  close.current = onClose;
  // A text that is selected with the mouse may end beside the dialog.
  const pressed = useRef(false);
  const heading = useId();
  const [self] = useState({});
  useEffect(() => {
    const dialog = element.current!;
    const closed = () => close.current();
    dialog.addEventListener('close', closed);
    dialog.showModal();
    sheets.value = [...sheets.value, self];
    return () => {
      // Nobody asked to close it when the page goes on to another view.
      dialog.removeEventListener('close', closed);
      dialog.close();
      sheets.value = sheets.value.filter((sheet) => sheet !== self);
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={side ? 'sheet drawer' : 'sheet'}
      aria-labelledby={heading}
      onPointerDown={(event) => (pressed.current = event.target === element.current)}
      onClick={(event) => !firm && pressed.current && event.target === element.current && onClose()}
    >
      <div class="sheet-box">
        <header>
          <h2 id={heading}>{title}</h2>
          <Button kind="bare" label={t('close')} onClick={onClose}>
            ✕
          </Button>
        </header>
        {children}
      </div>
      <Toasts sheet={self} />
    </dialog>
  );
}

type ConfirmProps = {
  title: string;
  children: ComponentChildren;
  yes: string;
  danger?: boolean;
  busy?: boolean;
  error?: Error;
  onYes: () => void;
  onNo: () => void;
};

export function Confirm({ title, children, yes, danger, busy, error, onYes, onNo }: ConfirmProps) {
  return (
    <Sheet title={title} onClose={onNo}>
      <div>{children}</div>
      <Problem error={error} />
      <footer class="row end">
        <Button onClick={onNo}>{t('cancel')}</Button>
        <Button kind={danger ? 'danger' : 'main'} busy={busy ?? false} onClick={onYes}>
          {yes}
        </Button>
      </footer>
    </Sheet>
  );
}

type TabsProps<T extends string> = {
  label: string;
  tabs: { id: T; label: string }[];
  chosen: T;
  choose: (tab: T) => void;
  children: ComponentChildren;
};

export function Tabs<T extends string>({ label, tabs, chosen, choose, children }: TabsProps<T>) {
  const base = useId();
  const move = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (!step) return;
    const at = tabs.findIndex(({ id }) => id === chosen);
    const next = tabs[(at + step + tabs.length) % tabs.length]!;
    choose(next.id);
    document.getElementById(`${base}-${next.id}`)?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} onKeyDown={move}>
        {tabs.map(({ id, label }) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`${base}-${id}`}
            aria-selected={id === chosen}
            aria-controls={`${base}-panel`}
            tabIndex={id === chosen ? 0 : -1}
            onClick={() => choose(id)}
          >
            {label}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${base}-panel`} aria-labelledby={`${base}-${chosen}`}>
        {children}
      </div>
    </>
  );
}

/** JSON as text. */
export function Json({ value, label }: { value: unknown; label: string }) {
  const text = JSON.stringify(value, null, 2);
  return (
    <div class="json">
      <CopyButton text={text} label={label} />
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
    </div>
  );
}

/** Chips to choose one of several, with how many there are of each. */
export function Chips<T extends string>(props: {
  label: string;
  chips: { id: T; label: string; count?: number }[];
  chosen: T;
  choose: (chip: T) => void;
}) {
  return (
    <div class="chips" role="group" aria-label={props.label}>
      {props.chips.map(({ id, label, count }) => (
        <button key={id} type="button" class="chip" aria-pressed={id === props.chosen} onClick={() => props.choose(id)}>
          {label}
          {count !== undefined && <span class="count">{count}</span>}
        </button>
      ))}
    </div>
  );
}
