// Messages that hold some words, in all chats of a session or in one.
import { useEffect, useState } from 'preact/hooks';
import { call, Refused } from '../api/client';
import type { SearchHit } from '../api/types.gen';
import { Problem, Waiting } from '../parts/ui';
import { pieces } from '../rules/snippet';
import { useLoad } from '../state/load';
import { language } from '../state/prefs';
import { link } from '../state/route';
import { t, word } from '../state/text';

/** Shorter texts are not looked for. */
export const WORDS_MIN = 2;
const WORDS_MAX = 256;
const HITS = 50;
/** So long nothing is typed before it is looked for. */
const TYPED_MS = 300;

/** A text, once it has stayed the same for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), TYPED_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

type Props = { session: string; chat?: string; text: string };

export function Found({ session, chat, text }: Props) {
  const q = useSettled(text.trim().slice(0, WORDS_MAX));
  const { data, error, reload } = useLoad(
    async (signal) => {
      if (q.length < WORDS_MIN) return null;
      const query = { q, sessionId: session, limit: HITS, ...(chat ? { chatId: chat } : {}) };
      return call('GET /api/search', { query, signal });
    },
    [session, chat, q],
  );
  if (error instanceof Refused && error.status === 501) return <p class="quiet">{t('inbox.noSearch')}</p>;
  if (error) return <Problem error={error} retry={reload} />;
  if (data === undefined) return <Waiting />;
  if (!data) return null;
  return (
    <section class="found" aria-label={t('inbox.found')}>
      <p class="quiet" role="status">
        {t('inbox.foundN', { n: data.total })}
      </p>
      {data.hits.length > 0 && (
        <ul tabIndex={0} aria-label={t('inbox.found')}>
          {data.hits.map((hit) => (
            <li key={hit.messageId}>
              <Hit hit={hit} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Hit({ hit }: { hit: SearchHit }) {
  const at = new Date(hit.timestamp * 1000);
  const day = new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'short' }).format(at);
  return (
    <a href={`${link('inbox', hit.sessionId, hit.chatId)}?message=${encodeURIComponent(hit.waMessageId)}`}>
      <span class="quiet">
        {hit.direction === 'outgoing' ? t('inbox.you') : hit.from} · <time dateTime={at.toISOString()}>{day}</time>
      </span>
      <span>
        {hit.type !== 'text' && `[${word('kind', hit.type)}] `}
        {pieces(hit.snippet).map(({ text, found }, index) => (found ? <mark key={index}>{text}</mark> : text))}
      </span>
    </a>
  );
}
