// Masks card numbers and secrets in outgoing texts and in the payloads of webhooks. Its failure blocks (`onFailure`): better
// nothing than something unmasked.

const SECRETS = [/\b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{8,}\b/g, /\bBearer\s+[A-Za-z0-9._~+/-]{16,}=*/g, /\bAKIA[0-9A-Z]{16}\b/g];
const DIGITS = /\b\d(?:[ -]?\d){12,18}\b/g;

// The check digit of a card number (ISO/IEC 7812): an order number of the same length is left alone.
function isCard(text) {
  const digits = text.replace(/\D/g, '');
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    let digit = Number(digits[digits.length - 1 - i]);
    if (i % 2 === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0;
}

function masker(config) {
  const mask = config.mask || '[redacted]';
  const patterns = [...SECRETS, ...(config.patterns || []).map((pattern) => new RegExp(pattern, 'g'))];
  return (text) => {
    let masked = text.replace(DIGITS, (found) => (isCard(found) ? mask : found));
    for (const pattern of patterns) masked = masked.replace(pattern, mask);
    return masked;
  };
}

// Every text in a value, however deep. Ids and addresses stay: they name the message.
const KEPT = new Set(['id', 'messageId', 'chatId', 'from', 'to', 'author', 'sessionId', 'data', 'url']);
function maskAll(value, mask) {
  if (typeof value === 'string') return mask(value);
  if (Array.isArray(value)) return value.map((entry) => maskAll(entry, mask));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, KEPT.has(name) ? entry : maskAll(entry, mask)]));
}

module.exports = class Redact {
  async onEnable(ctx) {
    masker(ctx.config); // A pattern that is no regular expression shows now, not at the first message.
    ctx.registerHook('message:sending', (hook) => {
      const mask = masker(ctx.config);
      const input = { ...hook.data.input };
      for (const field of ['text', 'caption']) if (typeof input[field] === 'string') input[field] = mask(input[field]);
      return { continue: true, data: { ...hook.data, input } };
    }, 45);
    ctx.registerHook('webhook:before', (hook) => {
      const { payload } = hook.data;
      const data = maskAll(payload.data, masker(ctx.config));
      return { continue: true, data: { ...hook.data, payload: { ...payload, data } } };
    }, 45);
  }
};
