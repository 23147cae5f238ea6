import { useEffect } from 'preact/hooks';
import { call } from '../api/client';
import type { ChatSummary } from '../api/types.gen';
import { List } from '../parts/list';
import { ago, now } from '../parts/time';
import { Chips, Empty, Problem, Waiting } from '../parts/ui';
import { useLoad } from '../state/load';
import { language } from '../state/prefs';
import { go, link, place, refine, replace } from '../state/route';
import { t, word } from '../state/text';
import { isOperator, who } from '../state/who';
import { drafts } from './composer';
import { Found, WORDS_MIN } from './search';
import { useNames } from './sessions';
import { Thread } from './thread';
import { SessionChoice } from './webhooks';

const CHATS_MAX = 1000;

export function InboxView() {
  const sessions = useNames();
  const [, session, chat] = place.value.parts;
  const found = place.value.query.get('message') ?? '';
  const ready = sessions.data?.filter(({ phone }) => phone);
  const first = (ready?.[0] ?? sessions.data?.[0])?.id;
  useEffect(() => {
    if (!session && first) replace(link('inbox', first));
  }, [session, first]);
  if (sessions.error && !sessions.data) return <Problem error={sessions.error} retry={sessions.reload} />;
  if (!sessions.data) return <Waiting />;
  if (!session) return <Empty title={t('numbers.none')} />;
  return (
    <div class={chat ? 'inbox has-chat' : 'inbox'}>
      <h1 class="unseen">{t('nav.inbox')}</h1>
      <div class="chats">
        <SessionChoice sessions={sessions.data} chosen={session} choose={(id) => go('inbox', id)} />
        <Chats key={session} session={session} chosen={chat} />
      </div>
      {chat ? (
        <Thread key={`${session} ${chat} ${found}`} session={session} chat={chat} {...(found ? { found } : {})} />
      ) : (
        <section class="thread none">
          <p class="quiet">{t('inbox.choose')}</p>
        </section>
      )}
    </div>
  );
}

function Chats({ session, chosen }: { session: string; chosen: string | undefined }) {
  const { data, error, reload } = useLoad(
    (signal) => call('GET /api/sessions/{sessionId}/chats', { path: { sessionId: session }, query: { limit: CHATS_MAX }, signal }),
    [session],
    (event) => event.sessionId === session && (event.event.startsWith('message.') || event.event.startsWith('status.')),
  );
  const { query } = place.value;
  const text = query.get('find') ?? '';
  const only = query.get('only') === 'unread' ? 'unread' : 'all';
  const wanted = text.trim().toLowerCase();
  const rows = (data ?? []).filter(
    (chat) =>
      (only === 'all' || chat.unreadCount > 0) &&
      (!wanted || [chat.name, chat.phone, chat.id].some((of) => of?.toLowerCase().includes(wanted))),
  );
  const digits = text.replace(/[^\d]/g, '');
  return (
    <>
      <input
        type="search"
        value={text}
        placeholder={t('inbox.find')}
        aria-label={t('inbox.find')}
        onInput={(event) => refine({ find: event.currentTarget.value })}
      />
      <Chips
        label={t('inbox.which')}
        chips={[
          { id: 'all', label: t('group.all') },
          { id: 'unread', label: t('inbox.unread'), count: (data ?? []).filter(({ unreadCount }) => unreadCount).length },
        ]}
        chosen={only}
        choose={(id) => refine({ only: id === 'all' ? '' : id })}
      />
      {isOperator.value && wanted.length >= WORDS_MIN && <Found session={session} text={text} />}
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data && !rows.length && (
        <Empty title={data.length ? t('inbox.noneFit') : t('inbox.none')}>
          {digits.length >= 7 && !who.value?.allowedChats.length && (
            <p>
              <a href={link('inbox', session, `${digits}@c.us`)}>{t('inbox.write', { number: `+${digits}` })}</a>
            </p>
          )}
        </Empty>
      )}
      {rows.length > 0 && (
        <List
          label={t('inbox.chats')}
          rows={rows}
          rowHeight={64}
          keyOf={({ id }) => id}
          show={(chat) => <ChatRow session={session} chat={chat} chosen={chat.id === chosen} />}
        />
      )}
    </>
  );
}

function ChatRow({ session, chat, chosen }: { session: string; chat: ChatSummary; chosen: boolean }) {
  const draft = drafts.value.get(`${session} ${chat.id}`);
  const kind = chat.lastMessageType && chat.lastMessageType !== 'text' ? word('kind', chat.lastMessageType) : '';
  return (
    <a class="chat-row" href={link('inbox', session, chat.id)} aria-current={chosen ? 'true' : undefined}>
      <span class="chat-name" dir="auto">
        {chat.name || chat.phone || chat.id}
        {chat.isGroup && <span class="quiet"> · {t('inbox.group')}</span>}
      </span>
      <span class="chat-time quiet">{chat.timestamp ? ago(chat.timestamp * 1000, now.value, language.value) : ''}</span>
      <span class="chat-last one-line quiet" dir="auto">
        {draft ? (
          <>
            <em>{t('inbox.draft')}</em> {draft}
          </>
        ) : (
          [kind && `[${kind}]`, chat.lastMessage].filter(Boolean).join(' ')
        )}
      </span>
      {chat.unreadCount > 0 && (
        <span class="unread">
          {chat.unreadCount}
          <span class="unseen"> {t('inbox.unread')}</span>
        </span>
      )}
    </a>
  );
}
