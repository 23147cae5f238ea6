// Where the value of a setting comes from.
export type Source = 'environment' | 'file' | 'default';
export type Setting = { name: string; value: string; source: Source; variable: string | undefined };
type Known = Record<string, readonly [variable: string, usual: unknown]>;

/** All settings of an answer, by section and name. */
export function listSettings(config: Record<string, unknown>, pinned: readonly string[], known: Known): Setting[] {
  const list: Setting[] = [];
  for (const [section, names] of Object.entries(config)) {
    if (names === null || typeof names !== 'object') continue;
    for (const [name, value] of Object.entries(names)) {
      const path = `${section}.${name}`;
      const [variable, usual] = known[path] ?? [];
      const source =
        variable && pinned.includes(variable) ? 'environment' : JSON.stringify(value) === JSON.stringify(usual) ? 'default' : 'file';
      list.push({ name: path, value: JSON.stringify(value), source, variable });
    }
  }
  return list.sort((one, other) => (one.name < other.name ? -1 : 1));
}
