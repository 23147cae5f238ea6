// A report that is copied somewhere: nothing in it may let anybody in.
const SECRET = /(^|[^a-z])(secret|password|passwd|token|pepper|api_?key|master_?key|authorization|cookie)s?($|[^a-z])/i;
const CREDENTIALS = /(\w+:\/\/)[^/\s@]+@/g;

/** The value without secrets: what has a secret's name, and what stands before an `@` in an address. */
export function masked(value: unknown, name = ''): unknown {
  if (typeof value === 'string') {
    if (value && SECRET.test(name.replace(/([a-z])([A-Z])/g, '$1_$2'))) return '***';
    return value.replace(CREDENTIALS, '$1***@');
  }
  if (Array.isArray(value)) return value.map((one) => masked(one, name));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, masked(of, name)]));
}
