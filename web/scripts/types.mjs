// Types of the API, from openapi.json: a type for each schema, and what each route takes and answers.
import { mkdir, readFile, writeFile } from 'node:fs/promises';

const word = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
const doc = (text) => (text ? `/** ${text.replace(/\s+/g, ' ').replaceAll('*/', '*∕')} */ ` : '');

function type(schema) {
  if (!schema) return 'unknown';
  if (schema.$ref) return schema.$ref.split('/').pop();
  for (const [word, sign] of [['oneOf', ' | '], ['anyOf', ' | '], ['allOf', ' & ']]) {
    if (schema[word]) return `(${schema[word].map(type).join(sign)})`;
  }
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const kinds = [schema.type ?? []].flat();
  return kinds.map((kind) => ofKind(kind, schema)).join(' | ') || 'unknown';
}

function ofKind(kind, schema) {
  switch (kind) {
    case 'integer':
    case 'number':
      return 'number';
    case 'string':
      return 'string';
    case 'boolean':
      return 'boolean';
    case 'null':
      return 'null';
    case 'array':
      return `Array<${type(schema.items)}>`;
    case 'object':
      return schema.properties ? fields(schema) : 'Record<string, unknown>';
    default:
      return 'unknown';
  }
}

function fields(schema) {
  const needed = new Set(schema.required ?? []);
  const lines = Object.entries(schema.properties).map(([name, of]) => {
    return `  ${doc(of.description)}${word(name)}${needed.has(name) ? '' : '?'}: ${type(of)};`;
  });
  return `{\n${lines.join('\n')}\n}`;
}

function route(path, method, operation) {
  const ok = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'));
  const answers = ok.map(([, answer]) => {
    const content = Object.values(answer.content ?? {})[0];
    return content ? type(content.schema) : 'null';
  });
  const query = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query');
  const asked = query.map((parameter) => `${word(parameter.name)}?: string | number | boolean`);
  const parts = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => `${name}: string`);
  const body = operation.requestBody?.content?.['application/json'];
  return [
    `  ${doc(operation.summary)}'${method.toUpperCase()} ${path}': {`,
    `    path: { ${parts.join('; ')} };`,
    `    query: { ${asked.join('; ')} };`,
    `    body: ${body ? type(body.schema) : 'undefined'};`,
    `    answer: ${[...new Set(answers)].join(' | ')};`,
    '  };',
  ].join('\n');
}

export async function types(from, to) {
  const document = JSON.parse(await readFile(from, 'utf8'));
  const parts = ['// Made from openapi.json by scripts/types.mjs.\n'];
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    parts.push(`${doc(schema.description)}\nexport type ${name} = ${type(schema)};\n`);
  }
  const routes = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => route(path, method, operation)),
  );
  parts.push(`export interface Routes {\n${routes.join('\n')}\n}\n`);
  const events = document.components.schemas.EventName.enum.filter((name) => name !== '*');
  parts.push(`export const EVENT_NAMES: readonly string[] = ${JSON.stringify(events)};\n`);
  await mkdir(new URL('.', to), { recursive: true });
  await writeFile(to, parts.join('\n'));
}
