// What became of a message at each of its recipients, and why it failed.
import type { Message, ReceiptRecipient } from '../api/types.gen';
import { exact } from '../parts/time';
import { Code } from '../parts/ui';
import { failureOf } from '../rules/failure';
import { language } from '../state/prefs';
import { number, t, word } from '../state/text';

/** A member of the group that tells nothing has a row, too. */
export type Recipient = ReceiptRecipient & { name: string | undefined };

export function Refusal({ message }: { message: Message }) {
  const failure = failureOf(message.metadata);
  if (message.status !== 'failed' || !failure) return null;
  const { kind, code, reason } = failure;
  const known = word('failure.code', String(code ?? ''));
  const advice = code !== null && known !== String(code) ? known : word('failure', kind);
  return (
    <div class="problem" role="note" aria-label={t('message.refusal')}>
      <p>
        <strong>{t('message.refusal')}</strong>: {advice}
      </p>
      <p class="hint">
        {reason} {code !== null && `(${t('message.code', { code: String(code) })})`}
      </p>
    </div>
  );
}

function At({ seconds }: { seconds: number | null }) {
  if (seconds === null) return <span class="quiet">–</span>;
  const at = new Date(seconds * 1000);
  const short = new Intl.DateTimeFormat(language.value, { dateStyle: 'short', timeStyle: 'medium' });
  return (
    <time dateTime={at.toISOString()} title={exact(at)}>
      {short.format(at)}
    </time>
  );
}

export function Receipts({ recipients }: { recipients: Recipient[] }) {
  const counts = {
    delivered: number(recipients.filter((of) => of.deliveredAt ?? of.readAt ?? of.playedAt).length),
    read: number(recipients.filter((of) => of.readAt ?? of.playedAt).length),
    total: number(recipients.length),
  };
  const played = recipients.some(({ playedAt }) => playedAt);
  return (
    <section class="card">
      <h2>{t('message.receipts')}</h2>
      {!recipients.length && <p class="quiet">{t('message.noReceipts')}</p>}
      {recipients.length > 0 && (
        <>
          <p>{t('message.receiptsHint', counts)}</p>
          <div class="table-box" tabIndex={0} role="region" aria-label={t('message.receipts')}>
            <table class="loose">
              <thead>
                <tr>
                  <th scope="col">{t('message.who')}</th>
                  <th scope="col">{t('message.got')}</th>
                  <th scope="col">{t('message.readAt')}</th>
                  {played && <th scope="col">{t('message.playedAt')}</th>}
                </tr>
              </thead>
              <tbody>
                {recipients.map((of) => (
                  <tr key={of.id}>
                    <td>
                      {of.name} <Code>{of.phone ? `+${of.phone}` : of.id}</Code>
                    </td>
                    <td>
                      <At seconds={of.deliveredAt} />
                    </td>
                    <td>
                      <At seconds={of.readAt} />
                    </td>
                    {played && (
                      <td>
                        <At seconds={of.playedAt} />
                      </td>
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}
