// Which variable decides each setting, and its default, from config.default.toml: the page says where a value comes from.
import { readFile, writeFile } from 'node:fs/promises';

function value(text) {
  return JSON.parse(/^[\d_]+$/.test(text) ? text.replaceAll('_', '') : text);
}

export async function settings(from, to) {
  let section = '';
  const known = {};
  for (const line of (await readFile(from, 'utf8')).split('\n')) {
    section = /^\[(\w+)\]/.exec(line)?.[1] ?? section;
    const [, name, text, variable] = /^(\w+)\s*=\s*(.+?)\s+# \[(\w+)\]/.exec(line) ?? [];
    if (name) known[`${section}.${name}`] = [variable, value(text)];
  }
  await writeFile(to, `// Made from config.default.toml by scripts/settings.mjs.\nexport const SETTINGS: Record<string, [string, unknown]> = ${JSON.stringify(known)};\n`);
}
