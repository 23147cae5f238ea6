// Rules of the pages that need no browser: node --test test/rules.mjs
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';
import { transform } from 'esbuild';

async function load(path) {
  const source = await readFile(new URL(`../src/${path}`, import.meta.url), 'utf8');
  const { code } = await transform(source, { loader: 'ts', format: 'esm' });
  return import(`data:text/javascript,${encodeURIComponent(code)}`);
}

const { cell, fill, guessNumberColumn, parseCsv, placeholders } = await load('rules/csv.ts');

test('lists are read as people save them', () => {
  const plain = parseCsv('phone,name\n+49 170 111,Mia\n');
  assert.deepEqual(plain, { columns: ['phone', 'name'], rows: [['+49 170 111', 'Mia']] });
  const odd = parseCsv('\uFEFFname;phone\r\n"Mia; ""the baker""\r\n2nd line";49170111\r\n;\r\n\r\nNoa;49170222');
  assert.deepEqual(odd.columns, ['name', 'phone']);
  assert.deepEqual(odd.rows, [['Mia; "the baker"\r\n2nd line', '49170111'], ['Noa', '49170222']]);
  assert.deepEqual(parseCsv('a\tb\r1\t2').rows, [['1', '2']]);
  assert.deepEqual(parseCsv('phone\n12" pizza').rows, [['12" pizza']]);
  assert.deepEqual(parseCsv(''), { columns: [], rows: [] });
});

test('the column of numbers is found by its name, else by what is in it', () => {
  assert.equal(guessNumberColumn(parseCsv('name,Phone\nMia,49170111')), 1);
  assert.equal(guessNumberColumn(parseCsv('a,b\nMia,+49 170 1112223\nNoa,+49 170 2223334')), 1);
});

test('placeholders are filled, and those without a value stay to be seen', () => {
  assert.deepEqual(placeholders('Hi {{name}}, {{ order.no }} {{name}} {x}'), ['name', 'order.no']);
  assert.equal(fill('Hi {{name}} {{what}}', { name: 'Mia', what: '' }), 'Hi Mia {{what}}');
});

test('no cell of a saved file is a formula', () => {
  assert.equal(cell('=HYPERLINK("http://x")'), `"'=HYPERLINK(""http://x"")"`);
  assert.equal(cell('@a'), "'@a");
  assert.equal(cell('plain'), 'plain');
  assert.equal(cell('a,b'), '"a,b"');
  assert.equal(cell(7), '7');
});
