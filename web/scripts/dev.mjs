// A server for working on the pages: builds when a page is loaded, hands `/api` to a gateway.
// node scripts/dev.mjs [gateway, by default http://127.0.0.1:2785] [port, by default 5173]
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';

const gateway = new URL(process.argv[2] ?? 'http://127.0.0.1:2785');
const port = Number(process.argv[3] ?? 5173);
const out = `${tmpdir()}/waypost-web-${port}`;
const KINDS = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };

createServer(async (asked, answer) => {
  const path = new URL(asked.url, 'http://here').pathname;
  if (path.startsWith('/api')) {
    const options = { method: asked.method, headers: asked.headers, host: gateway.hostname, port: gateway.port };
    const handed = request({ ...options, path: asked.url }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    handed.on('error', () => answer.writeHead(502).end());
    answer.on('close', () => handed.destroy());
    asked.pipe(handed);
    return;
  }
  try {
    if (path === '/') execFileSync('node', [new URL('build.mjs', import.meta.url).pathname, '--out', out]);
    const name = path === '/' ? 'index.html' : path.split('/').pop();
    const bytes = await readFile(`${out}/files/${name}`);
    answer.writeHead(200, {
      'content-type': KINDS[name.split('.').pop()] ?? 'text/plain',
      'content-security-policy': "default-src 'self'; img-src 'self' data:",
    });
    answer.end(bytes);
  } catch (error) {
    answer.writeHead(500, { 'content-type': 'text/plain' }).end(String(error.stderr ?? error));
  }
}).listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port} for ${gateway}`));
