// What WhatsApp lets a number do, and what it did today.
import type { Session } from '../api/types.gen';
import { exact } from '../parts/time';
import { Pill } from '../parts/ui';
import { number, t, word } from '../state/text';

/** What a restriction is, in words, with WhatsApp's own word for its reason. */
export function restrictionText({ kind, code }: NonNullable<Session['restriction']>): string {
  return [word('restriction', kind), code].filter(Boolean).join(' · ');
}

/** Until when it holds. */
export function restrictionEnd(restriction: NonNullable<Session['restriction']>): string {
  const end = restriction.endsAt ?? restriction.expiresAt;
  return end ? t('number.until', { time: exact(end) }) : t('number.noEnd');
}

export function Limits({ session }: { session: Session }) {
  const { restriction, newChatQuota: quota, sendsToday: today } = session;
  return (
    <section class="card">
      <h2>{t('number.limits')}</h2>
      <dl class="facts">
        <dt>{t('number.restriction')}</dt>
        <dd>
          {restriction ? (
            <>
              <Pill tone="warn">{restrictionText(restriction)}</Pill> {restrictionEnd(restriction)}
            </>
          ) : (
            <span class="quiet">{t('number.noRestriction')}</span>
          )}
        </dd>
        <dt>{t('number.quota')}</dt>
        <dd>{quota ? <Quota of={quota} /> : <span class="quiet">{t('number.noQuota')}</span>}</dd>
        {today && (
          <>
            <dt>{t('number.today')}</dt>
            <dd>
              <Counted n={today.sent} max={today.sentMax} />{' '}
              <span class="quiet">{t('number.resets', { time: exact(today.resetsAt) })}</span>
            </dd>
            <dt>{t('number.newToday')}</dt>
            <dd>
              {today.newChats === null ? (
                <span class="quiet">{t('number.notCounted')}</span>
              ) : (
                <Counted n={today.newChats} max={today.newChatsMax} />
              )}
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}

function Counted({ n, max }: { n: number; max: number | null }) {
  if (max === null) return <>{t('number.noMax', { n: number(n) })}</>;
  return <Used used={n} total={max} text={t('number.ofMax', { n: number(n), max: number(max) })} />;
}

function Quota({ of }: { of: NonNullable<Session['newChatQuota']> }) {
  const text = t('number.quotaLeft', { used: number(of.used), total: number(of.total), left: number(of.remaining) });
  return (
    <>
      <Used used={of.used} total={of.total} text={text} /> {of.status && of.status !== 'NONE' && <Pill tone="warn">{of.status}</Pill>}{' '}
      {of.cycleEndsAt && (
        <span class="quiet">
          {t('number.cycle', { time: exact(of.cycleEndsAt) })}
        </span>
      )}
    </>
  );
}

function Used({ used, total, text }: { used: number; total: number; text: string }) {
  return (
    <span class="progress">
      <progress max={Math.max(1, total)} value={Math.min(used, total)} aria-label={text} /> {text}
    </span>
  );
}
