import type { FunctionComponent } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Guard } from '../parts/guard';
import { Icon, type IconName } from '../parts/icons';
import { Button, Pill, toast, Toasts } from '../parts/ui';
import { connect, disconnect, liveState } from '../state/live';
import { watchSends } from '../state/sends';
import { link, place } from '../state/route';
import { t, word, type TextKey } from '../state/text';
import { isAdmin, isOperator, logOut, who } from '../state/who';
import { ApprovalsView } from './approvals';
import { AuditView } from './audit';
import { SendsBanner } from './brake';
import { CampaignsView } from './campaigns';
import { EventsView } from './events';
import { HealthView } from './health';
import { InboxView } from './inbox';
import { KeysView } from './keys';
import { LanesView } from './lanes';
import { MessageView } from './message';
import { NumbersView } from './numbers';
import { PluginsView } from './plugins';
import { Preferences } from './preferences';
import { WebhooksView } from './webhooks';

type Entry = { id: string; icon: IconName; view: FunctionComponent; shown: () => boolean };

const isWhole = () => !who.value?.allowedChats.length;
const always = () => true;

/** The views, in the order of the menu, and for whom they are. */
const ENTRIES: Entry[] = [
  { id: 'numbers', icon: 'numbers', view: NumbersView, shown: isWhole },
  { id: 'inbox', icon: 'inbox', view: InboxView, shown: always },
  { id: 'approvals', icon: 'approvals', view: ApprovalsView, shown: () => isWhole() && !who.value?.allowedSessions.length },
  { id: 'webhooks', icon: 'webhooks', view: WebhooksView, shown: () => isWhole() && isOperator.value },
  { id: 'lanes', icon: 'lanes', view: LanesView, shown: () => isWhole() && isOperator.value },
  { id: 'message', icon: 'message', view: MessageView, shown: () => isWhole() && isOperator.value },
  { id: 'campaigns', icon: 'campaigns', view: CampaignsView, shown: isWhole },
  { id: 'events', icon: 'events', view: EventsView, shown: always },
  { id: 'plugins', icon: 'plugins', view: PluginsView, shown: () => isWhole() && isAdmin.value },
  { id: 'keys', icon: 'keys', view: KeysView, shown: () => isAdmin.value && !who.value?.allowedSessions.length },
  { id: 'audit', icon: 'audit', view: AuditView, shown: () => isWhole() && isAdmin.value },
  { id: 'health', icon: 'health', view: HealthView, shown: always },
];

const LIVE_TONES = { live: 'good', connecting: 'busy', lost: 'bad' } as const;

export function Shell() {
  const [open, setOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    connect();
    const unwatch = watchSends();
    return () => {
      unwatch();
      disconnect();
    };
  }, []);
  const shown = ENTRIES.filter((entry) => entry.shown());
  const asked = place.value.parts[0];
  const entry = shown.find(({ id }) => id === asked) ?? shown[0]!;
  const View = entry.view;
  const title = t(`nav.${entry.id}` as TextKey);
  useEffect(() => {
    document.title = `${title} · Waypost`;
    setOpen(false);
  }, [title, place.value.parts.join('/')]);
  return (
    <div class={open ? 'shell menu-open' : 'shell'} onKeyDown={(event) => event.key === 'Escape' && setOpen(false)}>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        {t('skip')}
      </a>
      <header class="top">
        <Button kind="bare" label={t('menu')} pressed={open} onClick={() => setOpen(!open)}>
          ☰
        </Button>
        <span class="brand">Waypost</span>
        <span class="grow" />
        <Pill tone={LIVE_TONES[liveState.value]}>{t(`live.${liveState.value}`)}</Pill>
      </header>
      <nav aria-label={t('menu')}>
        <ul>
          {shown.map(({ id, icon }) => (
            <li key={id}>
              <a href={link(id)} onClick={() => setOpen(false)} aria-current={id === entry.id ? 'page' : undefined}>
                <Icon name={icon} />
                {t(`nav.${id}` as TextKey)}
              </a>
            </li>
          ))}
        </ul>
        <div class="who">
          <p>
            <strong>{who.value?.name}</strong>
            <br />
            {word('role', who.value?.role ?? '')} · {who.value?.version}
          </p>
          <Preferences />
          <Button onClick={() => void logOut().catch(() => toast(t('unreachable'), true))}>{t('logout')}</Button>
        </div>
      </nav>
      <main id="main" ref={main} tabIndex={-1}>
        <SendsBanner />
        <Guard place={place.value.parts.join('/')}>
          <View />
        </Guard>
      </main>
      <Toasts />
    </div>
  );
}
