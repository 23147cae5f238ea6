// What a browser that has a passkey is asked, and what it answers.

/** A line for the console of a page of WhatsApp: it asks for the passkey, and prints the answer. */
export function requestFor(options: unknown): string {
  const asked = JSON.stringify(options ?? {});
  return `JSON.stringify((await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(${asked})})).toJSON())`;
}

const SIGNED = ['clientDataJSON', 'authenticatorData', 'signature', 'userHandle'];

/** The answer as the API takes it, from what the console printed; nothing when it is something else. */
export function readAssertion(text: string): Record<string, unknown> | undefined {
  let read: unknown = text.trim();
  // A console prints a text with quotes around it: 'the JSON', or "the JSON" escaped.
  if (typeof read === 'string' && /^'.*'$/s.test(read)) read = read.slice(1, -1);
  for (let turn = 0; typeof read === 'string' && turn < 2; turn++) {
    try {
      read = JSON.parse(read);
    } catch {
      return undefined;
    }
  }
  const { id, rawId, type, response } = (read ?? {}) as Record<string, unknown>;
  if (typeof rawId !== 'string' || typeof response !== 'object' || response === null) return undefined;
  const signed = Object.entries(response).filter(([name, value]) => SIGNED.includes(name) && value !== null && value !== undefined);
  return { id: id ?? rawId, rawId, type: type ?? 'public-key', response: Object.fromEntries(signed) };
}
