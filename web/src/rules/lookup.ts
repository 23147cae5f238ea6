// What a text leads to that somebody found in a log.
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The session and the message that the idempotency key of an event names: `ack_<session>_<message>_read`. */
export function readKey(key: string): { session: string; message: string } | undefined {
  const [, session = '', message = ''] = key.split('_');
  return UUID.test(session) && message ? { session, message } : undefined;
}

const DIGITS_MIN = 7;
const DIGITS_MAX = 15;

/** The digits of a phone number, as people write one. */
export function phoneOf(text: string): string | undefined {
  if (!/^\+?[\d\s()./-]+$/.test(text)) return undefined;
  const digits = text.replace(/\D/g, '');
  return digits.length >= DIGITS_MIN && digits.length <= DIGITS_MAX ? digits : undefined;
}
