// What was said in a chat.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { address, call } from '../api/client';
import type { Message, MessageStatus } from '../api/types.gen';
import { exact } from '../parts/time';
import { Button, Code, Confirm, Problem, toast, Waiting } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { language } from '../state/prefs';
import { link } from '../state/route';
import { t, word } from '../state/text';
import { isOperator, who } from '../state/who';
import { Composer, type Answering } from './composer';
import { Refusal } from './receipts';
import { Found, WORDS_MIN } from './search';

const PAGE = 50;
const EMOJI = ['👍', '❤️', '😂', '😮', '😢', '🙏'];
const SIGNS: Record<MessageStatus, string> = { pending: '◌', sent: '✓', delivered: '✓✓', read: '✓✓', failed: '✕' };

type ChatProps = { session: string; chat: string };
/** `found` is a message that is shown with those before it. */
type ThreadProps = ChatProps & { found?: string };

export function Thread({ session, chat, found }: ThreadProps) {
  const [pages, setPages] = useState(1);
  const [text, setText] = useState('');
  const [chosen, choose] = useState<string>();
  const [answering, answer] = useState<Answering>();
  const { data, error, reload } = useLoad(
    (signal) => read(session, chat, found, pages, signal),
    [session, chat, found, pages],
    (event) => event.sessionId === session && (event.data['chatId'] === undefined || event.data['chatId'] === chat),
  );
  const wanted = text.trim().toLowerCase();
  // Who may not search finds in what is shown.
  const searches = isOperator.value;
  const rows = (data?.messages ?? []).filter((message) => searches || !wanted || message.body?.toLowerCase().includes(wanted));
  const box = useRef<HTMLDivElement>(null);
  const newest = data?.messages.at(-1)?.id;
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (box.current && atEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [newest, data !== undefined]);
  return (
    <section class="thread" aria-label={t('chat')}>
      <header class="row">
        <a class="back" href={link('inbox', session)} aria-label={t('inbox.chats')}>
          ←
        </a>
        <strong class="one-line">{data?.messages.findLast(({ chatName }) => chatName)?.chatName ?? ''}</strong>
        <Code>{chat}</Code>
        <span class="grow" />
        <input
          type="search"
          value={text}
          placeholder={t(searches ? 'thread.findAll' : 'thread.find')}
          aria-label={t(searches ? 'thread.findAll' : 'thread.find')}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        {isOperator.value && <MarkRead session={session} chat={chat} />}
      </header>
      {searches && wanted.length >= WORDS_MIN && <Found session={session} chat={chat} text={text} />}
      {found && (
        <p class="answering">
          {t('thread.foundHere')} <a href={link('inbox', session, chat)}>{t('thread.newest')}</a>
        </p>
      )}
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      <div
        class="messages"
        ref={box}
        tabIndex={0}
        role="log"
        aria-label={t('thread.messages')}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
        }}
      >
        {data?.more && (
          <p class="older">
            <Button onClick={() => setPages(pages + 1)}>{t('thread.older')}</Button>
          </p>
        )}
        {data && !rows.length && <p class="quiet">{wanted ? t('inbox.noneFit') : t('thread.none')}</p>}
        {rows.map((message, at) => (
          <div key={message.id} class="said">
            {day(message) !== (at ? day(rows[at - 1]!) : '') && <p class="day">{day(message)}</p>}
            <Bubble
              message={message}
              found={found !== undefined && found === message.waMessageId}
              chosen={chosen === message.id}
              choose={() => choose(chosen === message.id ? undefined : message.id)}
              answer={(answering) => {
                choose(undefined);
                answer(answering);
              }}
              done={() => {
                choose(undefined);
                reload();
              }}
            />
          </div>
        ))}
      </div>
      {isOperator.value ? (
        <Composer session={session} chat={chat} answering={answering} stop={() => answer(undefined)} sent={reload} />
      ) : (
        <p class="quiet hint">{t('thread.viewer')}</p>
      )}
    </section>
  );
}

async function read(session: string, chat: string, found: string | undefined, pages: number, signal: AbortSignal) {
  const path = { sessionId: session };
  const ask = (query: object) =>
    call('GET /api/sessions/{sessionId}/messages', { path, query: { chatId: chat, inlineMedia: false, ...query }, signal });
  const messages: Message[] = found ? (await ask({ messageId: found, limit: 1 })).messages : [];
  let more = false;
  for (let page = 0; page < pages; page++) {
    const after = messages.at(-1)?.id;
    const answer = await ask({ limit: PAGE, ...(after ? { after } : {}) });
    messages.push(...answer.messages);
    more = answer.messages.length === PAGE;
    if (!more) break;
  }
  // The newest come first; people read the other way.
  return { messages: messages.reverse(), more };
}

function when(message: Message): Date {
  return new Date(message.timestamp ? message.timestamp * 1000 : message.createdAt);
}

function day(message: Message): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: 'full' }).format(when(message));
}

function MarkRead({ session, chat }: ChatProps) {
  const { busy, error, run } = useAction();
  useEffect(() => {
    if (error) toast(error.message, true);
  }, [error]);
  const mark = () =>
    run(() => call('POST /api/sessions/{sessionId}/chats/read', { path: { sessionId: session }, body: { chatId: chat } })).then(
      (done) => done && toast(t('thread.marked')),
    );
  return (
    <Button busy={busy} onClick={() => void mark()}>
      {t('thread.mark')}
    </Button>
  );
}

type BubbleProps = {
  message: Message;
  found: boolean;
  chosen: boolean;
  choose: () => void;
  answer: (answering: Answering) => void;
  done: () => void;
};

function Bubble({ message, found, chosen, choose, answer, done }: BubbleProps) {
  const own = message.direction === 'outgoing';
  const quoted = message.metadata?.['quotedMessage'] as { body?: string } | undefined;
  const at = when(message);
  const time = new Intl.DateTimeFormat(language.value, { timeStyle: 'short' }).format(at);
  return (
    <article class={`bubble${own ? ' own' : ''}${found ? ' is-found' : ''}`}>
      {message.author && <p class="author">{message.author}</p>}
      {quoted && <blockquote dir="auto">{quoted.body ?? '…'}</blockquote>}
      {message.type !== 'text' && <Media message={message} />}
      {message.body && <p class="body" dir="auto">{message.body}</p>}
      <Reactions of={message} />
      <Refusal message={message} />
      <p class="meta">
        <time dateTime={at.toISOString()} title={exact(at)}>
          {time}
        </time>
        {message.metadata?.['edited'] === true && <span>{t('thread.edited')}</span>}
        {own && (
          <span class={`ticks ${message.status}`}>
            <span aria-hidden="true">{SIGNS[message.status]}</span> {word('message', message.status)}
          </span>
        )}
        <button type="button" class="as-link" aria-expanded={chosen} onClick={choose}>
          {t('more')}
        </button>
      </p>
      {chosen && <MessageActions message={message} answer={answer} done={done} />}
    </article>
  );
}

/** Who reacted, by emoji: the metadata has one for each person. */
function Reactions({ of }: { of: Message }) {
  const all = Object.values((of.metadata?.['reactions'] ?? {}) as Record<string, unknown>).filter((emoji) => typeof emoji === 'string');
  if (!all.length) return null;
  const counts = [...new Set(all)].map((emoji) => [emoji, all.filter((other) => other === emoji).length] as const);
  return (
    <ul class="reactions" aria-label={t('thread.reactions')}>
      {counts.map(([emoji, count]) => (
        <li key={emoji}>
          {emoji} {count > 1 && count}
        </li>
      ))}
    </ul>
  );
}

function Media({ message }: { message: Message }) {
  const [shown, show] = useState(false);
  const kind = message.mediaMimetype?.split('/')[0];
  const file = message.mediaPath ? address(message.mediaPath) : undefined;
  if (!file) return <p class="quiet">[{word('kind', message.type)}]</p>;
  if (!shown || !kind) {
    return (
      <p>
        [{word('kind', message.type)}] {kind && kind !== 'application' && <Button onClick={() => show(true)}>{t('thread.show')}</Button>}{' '}
        <a href={file} download>
          {t('thread.download')}
        </a>
      </p>
    );
  }
  if (kind === 'image') return <img class="media" src={file} alt={message.body ?? word('kind', message.type)} />;
  if (kind === 'video') return <video class="media" src={file} controls />;
  if (kind === 'audio') return <audio src={file} controls />;
  return (
    <a href={file} download>
      {t('thread.download')}
    </a>
  );
}

function MessageActions({ message, answer, done }: { message: Message; answer: (answering: Answering) => void; done: () => void }) {
  const [asked, ask] = useState(false);
  const { busy, error, run } = useAction();
  const id = message.waMessageId;
  if (!id) return null;
  const path = { sessionId: message.sessionId };
  const about = { chatId: message.chatId, messageId: id };
  const own = message.direction === 'outgoing';
  const react = (emoji: string) =>
    run(() => call('POST /api/sessions/{sessionId}/messages/react', { path, body: { ...about, emoji } })).then((ok) => ok && done());
  const remove = () =>
    run(() => call('POST /api/sessions/{sessionId}/messages/delete', { path, body: { ...about, forEveryone: own } })).then(
      (ok) => ok && done(),
    );
  return (
    <div class="actions">
      <Code short={16}>{id}</Code>
      {isOperator.value && !who.value?.allowedChats.length && <a href={link('message', message.sessionId, id)}>{t('nav.message')}</a>}
      {isOperator.value && (
        <>
          <div class="row">
            {EMOJI.map((emoji) => (
              <Button key={emoji} kind="bare" busy={busy} label={`${t('thread.react')} ${emoji}`} onClick={() => void react(emoji)}>
                {emoji}
              </Button>
            ))}
          </div>
          <div class="row">
            <Button onClick={() => answer({ kind: 'reply', id, body: message.body ?? word('kind', message.type) })}>{t('thread.reply')}</Button>
            {own && message.type === 'text' && (
              <Button onClick={() => answer({ kind: 'edit', id, body: message.body ?? '' })}>{t('thread.edit')}</Button>
            )}
            <Button kind="danger" onClick={() => ask(true)}>
              {t('delete')}
            </Button>
          </div>
        </>
      )}
      {!asked && <Problem error={error} />}
      {asked && (
        <Confirm
          title={t('thread.delete')}
          yes={t('delete')}
          danger
          busy={busy}
          {...(error ? { error } : {})}
          onYes={() => void remove()}
          onNo={() => ask(false)}
        >
          <p>{own ? t('thread.deleteAll') : t('thread.deleteHere')}</p>
        </Confirm>
      )}
    </div>
  );
}
