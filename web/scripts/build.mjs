// Builds the dashboard: `node scripts/build.mjs [--out DIR]`. What it writes is checked in under crates/dashboard.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { settings } from './settings.mjs';
import { types } from './types.mjs';

const root = new URL('../', import.meta.url);
const at = process.argv.indexOf('--out');
const out = at > 0 ? new URL(`file://${process.argv[at + 1]}/`) : new URL('../crates/dashboard/', root);
const KINDS = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

await types(new URL('../openapi.json', root), new URL('src/api/types.gen.ts', root));
await settings(new URL('../config.default.toml', root), new URL('src/api/settings.gen.ts', root));
const made = await build({
  absWorkingDir: root.pathname,
  entryPoints: { app: 'src/main.tsx' },
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  outdir: 'out',
  write: false,
});
const assets = made.outputFiles.map((file) => ({ name: file.path.split('/').pop(), bytes: file.contents }));
const icon = await readFile(new URL('src/icon.svg', root));
const hash = createHash('sha256').update(icon).digest('hex').slice(0, 8).toUpperCase();
assets.push({ name: `icon-${hash}.svg`, bytes: icon });
assets.sort((one, other) => (one.name < other.name ? -1 : 1));

const named = (start, end) => assets.find(({ name }) => name.startsWith(start) && name.endsWith(end)).name;
const page = (await readFile(new URL('src/index.html', root), 'utf8'))
  .replace('app.css', named('app-', '.css'))
  .replace('app.js', named('app-', '.js'))
  .replace('icon.svg', named('icon-', '.svg'));

const files = new URL('files/', out);
await mkdir(files, { recursive: true });
await mkdir(new URL('src/', out), { recursive: true });
for (const name of await readdir(files)) await rm(new URL(name, files));
const put = async ({ name, bytes }) => {
  await writeFile(new URL(name, files), bytes);
  await writeFile(new URL(`${name}.gz`, files), gzipSync(bytes, { level: 9 }));
};
const html = { name: 'index.html', bytes: Buffer.from(page) };
for (const file of [html, ...assets]) await put(file);

const entry = ({ name }, kind, indent) =>
  [
    'DashboardFile {',
    `    name: "${name}",`,
    `    content_type: "${kind}",`,
    `    bytes: include_bytes!("../files/${name}"),`,
    `    gzip: include_bytes!("../files/${name}.gz"),`,
    '}',
  ].join(`\n${indent}`);
const list = assets.map((file) => `    ${entry(file, KINDS[file.name.split('.').pop()], '    ')},\n`).join('');
const rust = `//! Written by \`cargo xtask web\`.

use crate::DashboardFile;

pub static PAGE: DashboardFile = ${entry(html, 'text/html; charset=utf-8', '')};

pub static ASSETS: &[DashboardFile] = &[
${list}];
`;
await writeFile(new URL('src/files.rs', out), rust);
const total = [html, ...assets].reduce((sum, { bytes }) => sum + gzipSync(bytes, { level: 9 }).length, 0);
console.log(`${assets.length + 1} files, ${total} bytes packed`);
