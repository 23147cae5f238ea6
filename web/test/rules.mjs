// Rules of the pages that need no browser: node --test test/rules.mjs
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';
import { build, transform } from 'esbuild';

async function load(path) {
  const source = await readFile(new URL(`../src/${path}`, import.meta.url), 'utf8');
  const { code } = await transform(source, { loader: 'ts', format: 'esm' });
  return import(`data:text/javascript,${encodeURIComponent(code)}`);
}

const { failureOf } = await load('rules/failure.ts');
const { isQuiet, minutesOf, plan, quietPart } = await load('rules/pace.ts');
const { readAssertion, requestFor } = await load('rules/passkey.ts');
const { masked } = await load('rules/report.ts');
const { listSettings } = await load('rules/settings.ts');
const { pieces } = await load('rules/snippet.ts');
const { readKey, phoneOf } = await load('rules/lookup.ts');
const { placeOf } = await load('rules/place.ts');
const { cell, decode, fill, guessNumberColumn, parseCsv, placeholders } = await load('rules/csv.ts');

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
  assert.equal(cell(-7), '-7');
});

test('what a search found is text, whatever stands in it', () => {
  assert.deepEqual(pieces('Is the <mark>cake</mark> &lt;b&gt; &amp;amp; &quot;ready&#39;'), [
    { text: 'Is the ', found: false },
    { text: 'cake', found: true },
    { text: ` <b> &amp; "ready'`, found: false },
  ]);
  assert.deepEqual(pieces('<mark>a</mark><mark>b</mark>'), [
    { text: 'a', found: true },
    { text: 'b', found: true },
  ]);
  assert.deepEqual(pieces(''), []);
});

test('a passkey is asked for by a line, and its answer read as a console prints it', () => {
  const options = { challenge: `a'b"c`, rpId: 'whatsapp.com' };
  const asked = /RequestOptionsFromJSON\((.*)\)\}\)\)/.exec(requestFor(options))[1];
  assert.deepEqual(JSON.parse(asked), options);
  const answer = {
    id: 'x',
    rawId: 'x',
    type: 'public-key',
    authenticatorAttachment: 'platform',
    response: { clientDataJSON: 'e30', authenticatorData: 'AAAA', signature: 'AAAA', userHandle: null, more: 1 },
  };
  const taken = { id: 'x', rawId: 'x', type: 'public-key', response: { clientDataJSON: 'e30', authenticatorData: 'AAAA', signature: 'AAAA' } };
  const text = JSON.stringify(answer);
  for (const printed of [text, ` ${text}\n`, `'${text}'`, JSON.stringify(text)]) assert.deepEqual(readAssertion(printed), taken);
  for (const wrong of ['', 'x', '{}', 'null', '"x"', '{"rawId":"x"}', '{"rawId":1,"response":{}}']) assert.equal(readAssertion(wrong), undefined);
});

test('a report holds no secret', () => {
  const report = {
    url: 'https://me:pw@host/x',
    list: ['redis://:pw@host', 'plain@host'],
    webhook: { secret: 'a', secretHint: 'b', sshPassword: 'c', apiKey: 'd', token: '' },
    secrets: { API_MASTER_KEY: '***', OTHER_TOKEN: 'e' },
    wrong_keys_per_minute: 10,
    key_file: 'master.key',
  };
  const text = JSON.stringify(masked(report));
  for (const secret of ['pw', '"a"', '"c"', '"d"', '"e"']) assert.ok(!text.includes(secret), `${secret}: ${text}`);
  assert.ok(text.includes('https://***@host/x') && text.includes('master.key') && text.includes('"wrong_keys_per_minute":10'), text);
});

test('each setting says where its value comes from', () => {
  const known = { 'server.port': ['PORT', 2785], 'server.host': ['HOST', '127.0.0.1'], 'log.level': ['LOG_LEVEL', 'info'] };
  const config = { server: { port: 1, host: '127.0.0.1' }, log: { level: 'debug' }, odd: 3 };
  const list = listSettings(config, ['PORT'], known);
  assert.deepEqual(
    list.map(({ name, value, source }) => [name, value, source]),
    [
      ['log.level', '"debug"', 'file'],
      ['server.host', '"127.0.0.1"', 'default'],
      ['server.port', '1', 'environment'],
    ],
  );
});

test('a campaign goes on over its days, and sends nothing in quiet hours', () => {
  const quiet = { from: minutesOf('20:00'), to: minutesOf('08:30') };
  assert.ok(isQuiet(0, quiet) && isQuiet(20 * 60, quiet) && !isQuiet(8 * 60 + 30, quiet) && !isQuiet(0, undefined));
  assert.ok(!isQuiet(5, { from: 5, to: 5 }), 'no quiet hours at all');
  assert.deepEqual([quietPart(8, quiet), quietPart(9, quiet), quietPart(21, quiet)], [0.5, 0, 1]);
  const start = new Date(2026, 5, 1, 19, 30).getTime();
  const days = plan(start, 100, 60_000, quiet);
  assert.equal(days.length, 2);
  assert.equal(days[0].hours[19], 30);
  assert.deepEqual([days[1].hours[8], days[1].hours[9]], [30, 40]);
  assert.equal(days[1].first, new Date(2026, 5, 2, 8, 30).getTime());
  assert.equal(days[1].last, new Date(2026, 5, 2, 9, 39).getTime());
  assert.equal(plan(start, 5, 1000, undefined)[0].hours[19], 5);
  assert.deepEqual(plan(start, 0, 1000, undefined), []);
  assert.ok(plan(start, 10, 60_000, { from: 0, to: 1440 }).length > 300, 'it ends where nothing is ever sent');
});

test('a failure is read as the row says it', () => {
  const failure = { kind: 'refused', code: 463, reason: 'cold' };
  assert.deepEqual(failureOf({ failure }), failure);
  assert.deepEqual(failureOf({ failure: { code: 403 } }), { kind: 'refused', code: 403, reason: '' });
  assert.equal(failureOf(null), undefined);
  assert.equal(failureOf({ failure: 'x' }), undefined);
});

test('a list that was saved for Windows is read, too', () => {
  const bytes = (of) => Uint8Array.from(of).buffer;
  assert.equal(decode(new TextEncoder().encode('Müller').buffer), 'Müller');
  assert.equal(decode(bytes([0x4d, 0xfc, 0x6c, 0x6c, 0x65, 0x72])), 'Müller');
  assert.equal(decode(bytes([0xff, 0xfe, 0x4d, 0x00, 0xfc, 0x00])), 'Mü');
});

test('previews are filled as the gateway fills', () => {
  const values = { name: 'Mia', 'First Name': 'Noa' };
  assert.equal(fill('{name} {{ name }} {{First  Name}} {other} {{}} {}', values), 'Mia Mia Noa {other} {{}} {}');
  assert.equal(fill('\\{{name}} \\} {{{name}}}', values), '{Mia} } {Mia}');
  assert.equal(fill('{{constructor}} {toString}', values), '{{constructor}} {toString}');
  assert.deepEqual(placeholders('{name} {{ a }} \\{{b}} {{ }}'), ['a']);
});

test('any address is a place', () => {
  const { parts, query } = placeOf('#/inbox/a%2Fb/%E0%A4%A?find=a?b&x=1');
  assert.deepEqual(parts, ['inbox', 'a/b', '%E0%A4%A']);
  assert.deepEqual([...query], [['find', 'a?b'], ['x', '1']]);
  assert.deepEqual(placeOf('').parts, []);
});

test('a message is named by the key of an event, and a chat by its number', () => {
  const session = '3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e';
  assert.deepEqual(readKey(`ack_${session}_3EB01_delivered`), { session, message: '3EB01' });
  assert.deepEqual(readKey(`msg_${session}_3EB01`), { session, message: '3EB01' });
  for (const other of ['', '3EB01', 'a_b_c', `evt_${session}`]) assert.equal(readKey(other), undefined);
  assert.equal(phoneOf('+49 (170) 123-4567'), '491701234567');
  for (const other of ['3EB01', '+49 170', '', '12345678901234567']) assert.equal(phoneOf(other), undefined);
});

test('every catalogue has every text, with the same values and forms', async () => {
  const bundle = async (name) => {
    const { outputFiles } = await build({ entryPoints: [new URL(`../src/text/${name}.ts`, import.meta.url).pathname], bundle: true, format: 'esm', write: false });
    const module = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
    return module.en ?? module.texts;
  };
  const values = (text) => [...new Set(text.match(/\{\w+\}/g))].sort();
  const english = await bundle('en');
  for (const name of ['de', 'pt', 'es']) {
    const texts = await bundle(name);
    assert.deepEqual(Object.keys(texts).sort(), Object.keys(english).sort(), name);
    for (const [key, text] of Object.entries(texts)) {
      const forms = text.split('|');
      assert.equal(forms.length, english[key].split('|').length, `${name} ${key}`);
      for (const form of forms) {
        assert.ok(form.trim(), `${name} ${key}`);
        assert.deepEqual(values(form), values(english[key]), `${name} ${key}`);
      }
    }
  }
});
