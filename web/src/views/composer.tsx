// Where an answer is written. A draft stays with its chat until it is sent; `/` offers templates.
import { effect, signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { call } from '../api/client';
import type { Template } from '../api/types.gen';
import { Button, Problem, toast } from '../parts/ui';
import { useAction } from '../state/load';
import { t } from '../state/text';
import { who } from '../state/who';

export type Answering = { kind: 'reply' | 'edit'; id: string; body: string };

/** What was written and not sent, by session and chat. It is gone with the page. */
export const drafts = signal<ReadonlyMap<string, string>>(new Map());

// The next one who logs in on this page did not write them.
effect(() => {
  if (!who.value) drafts.value = new Map();
});

function keep(key: string, text: string) {
  const next = new Map(drafts.value);
  if (text) next.set(key, text);
  else next.delete(key);
  drafts.value = next;
}

type Props = { session: string; chat: string; answering: Answering | undefined; stop: () => void; sent: () => void };

export function Composer({ session, chat, answering, stop, sent }: Props) {
  const key = `${session} ${chat}`;
  const [text, setText] = useState(drafts.value.get(key) ?? '');
  const { busy, error, run } = useAction();
  const area = useRef<HTMLTextAreaElement>(null);
  const write = (text: string) => {
    setText(text);
    if (answering?.kind !== 'edit') keep(key, text);
  };
  useEffect(() => {
    if (!answering) return;
    setText(answering.kind === 'edit' ? answering.body : (drafts.value.get(key) ?? ''));
    area.current?.focus();
  }, [answering]);
  const choose = (text: string) => {
    write(text);
    area.current?.focus();
  };
  const send = async () => {
    const body = text.trim();
    if (!body || busy) return;
    const path = { sessionId: session };
    let waits = false;
    const done = await run(async () => {
      if (answering?.kind === 'edit') {
        return call('POST /api/sessions/{sessionId}/messages/edit', { path, body: { chatId: chat, messageId: answering.id, body } });
      }
      if (answering) {
        const reply = { chatId: chat, quotedMessageId: answering.id, text: body };
        waits = 'route' in (await call('POST /api/sessions/{sessionId}/messages/reply', { path, body: reply }));
        return;
      }
      waits = 'route' in (await call('POST /api/sessions/{sessionId}/messages/send-text', { path, body: { chatId: chat, text: body } }));
    });
    // What became of it is seen in the chat, also where it failed.
    sent();
    if (!done) return;
    if (waits) toast(t('thread.waits'));
    // What was written meanwhile stays; an edit leaves the draft of the chat alone.
    if (answering?.kind === 'edit') setText(drafts.value.get(key) ?? '');
    else if (area.current?.value === text) write('');
    stop();
    area.current?.focus();
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {answering && (
        <p class="answering">
          <span class="one-line">
            {t(`thread.${answering.kind}`)}: {answering.body}
          </span>
          <Button
            kind="bare"
            label={t('cancel')}
            onClick={() => {
              if (answering.kind === 'edit') setText(drafts.value.get(key) ?? '');
              stop();
            }}
          >
            ✕
          </Button>
        </p>
      )}
      {text.startsWith('/') && !who.value?.allowedChats.length && <Templates session={session} find={text.slice(1)} choose={choose} />}
      <Problem error={error} />
      <div class="row">
        <textarea
          ref={area}
          rows={2}
          dir="auto"
          value={text}
          aria-label={t('thread.write')}
          placeholder={t('thread.write')}
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            void send();
          }}
        />
        <Button type="submit" kind="main" busy={busy} disabled={!text.trim()}>
          {answering?.kind === 'edit' ? t('thread.edit') : t('thread.send')}
        </Button>
      </div>
    </form>
  );
}

function Templates({ session, find, choose }: { session: string; find: string; choose: (text: string) => void }) {
  const [all, setAll] = useState<Template[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    const path = { sessionId: session };
    call('GET /api/sessions/{sessionId}/templates', { path, signal: stop.signal }).then(setAll, () => setAll([]));
    return () => stop.abort();
  }, [session]);
  const fit = all.filter(({ name }) => name.toLowerCase().includes(find.trim().toLowerCase())).slice(0, 8);
  return (
    <ul class="templates" aria-label={t('thread.templates')}>
      {fit.map(({ id, name, header, body, footer }) => (
        <li key={id}>
          <button type="button" onClick={() => choose([header, body, footer].filter(Boolean).join('\n\n'))}>
            <strong>/{name}</strong> <span class="quiet one-line">{body}</span>
          </button>
        </li>
      ))}
      {!fit.length && <li class="quiet">{t('thread.noTemplate')}</li>}
    </ul>
  );
}
