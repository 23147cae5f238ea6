import { useId, useState } from 'preact/hooks';
import { address, call, read } from '../api/client';
import type { Plugin } from '../api/types.gen';
import { JsonText, SchemaForm, type Schema } from '../parts/schema-form';
import { Table, type Column } from '../parts/table';
import { Button, Confirm, Empty, Pill, Problem, Sheet, toast, Waiting, type Tone } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { place, refine } from '../state/route';
import { t, word } from '../state/text';

const TONES: Record<string, Tone> = { enabled: 'good', disabled: 'calm', installed: 'calm', error: 'bad' };

export function PluginsView() {
  const { data, error, reload } = useLoad((signal) => call('GET /api/plugins', { signal }), [], (event) => event.event.startsWith('plugin.'), 10_000);
  const install = useAction();
  const opened = data?.find(({ id }) => id === place.value.query.get('plugin'));
  const upload = (file: File | undefined) =>
    file &&
    install.run(async () => {
      const form = new FormData();
      form.append('file', file);
      const answer = await fetch(address('/api/plugins/install'), { method: 'POST', body: form });
      if (!answer.ok) throw read(answer.status, await answer.text());
      toast(t('plugins.installed'));
      reload();
    });
  return (
    <>
      <div class="head">
        <h1>{t('nav.plugins')}</h1>
        <label class="button main file">
          {t('plugins.install')}
          <input
            type="file"
            accept=".zip,application/zip"
            disabled={install.busy}
            onChange={(event) => {
              void upload(event.currentTarget.files?.[0]);
              event.currentTarget.value = '';
            }}
          />
        </label>
      </div>
      <Problem error={install.error} />
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data?.length === 0 && (
        <Empty title={t('plugins.none')}>
          <p>
            {t('plugins.noneHint')} <code>waypost plugin new</code>
          </p>
        </Empty>
      )}
      {data && data.length > 0 && (
        <Table
          label={t('nav.plugins')}
          rows={data}
          keyOf={({ id }) => id}
          columns={COLUMNS()}
          open={({ id }) => refine({ plugin: id })}
        />
      )}
      {opened && <OnePlugin key={opened.id} plugin={opened} onClose={() => refine({ plugin: '' })} reload={reload} />}
    </>
  );
}

function COLUMNS(): Column<Plugin>[] {
  return [
    {
      id: 'name',
      label: t('name'),
      show: ({ id, name, version }) => (
        <>
          <button type="button" class="as-link" onClick={() => refine({ plugin: id })}>
            {name}
          </button>{' '}
          <span class="quiet">{version}</span>
        </>
      ),
    },
    {
      id: 'state',
      label: t('numbers.state'),
      width: '9rem',
      show: ({ status, error }) => (
        <Pill tone={TONES[status] ?? 'calm'} {...(error ? { title: error } : {})}>
          {word('plugin', status)}
        </Pill>
      ),
    },
    { id: 'what', label: t('plugins.what'), rank: 2, show: ({ description }) => description ?? '' },
  ];
}

function OnePlugin({ plugin, onClose, reload }: { plugin: Plugin; onClose: () => void; reload: () => void }) {
  const [asked, ask] = useState(false);
  const { busy, error, run } = useAction();
  const path = { id: plugin.id };
  const enabled = plugin.status === 'enabled' || plugin.status === 'error';
  const change = (action: () => Promise<unknown>) =>
    run(action).then((done) => {
      reload();
      return done;
    });
  return (
    <Sheet title={plugin.name} onClose={onClose} side>
      <div class="row">
        <Pill tone={TONES[plugin.status] ?? 'calm'}>{word('plugin', plugin.status)}</Pill>
        <span class="grow" />
        <Button
          kind="main"
          busy={busy}
          onClick={() => void change(() => call(enabled ? 'POST /api/plugins/{id}/disable' : 'POST /api/plugins/{id}/enable', { path }))}
        >
          {enabled ? t('plugins.disable') : t('plugins.enable')}
        </Button>
        <Button kind="danger" onClick={() => ask(true)}>
          {t('delete')}
        </Button>
      </div>
      {plugin.error && <p class="problem">{plugin.error}</p>}
      {!asked && <Problem error={error} />}
      {plugin.description && <p>{plugin.description}</p>}
      <dl class="facts">
        <dt>{t('plugins.permissions')}</dt>
        <dd>{plugin.permissions.join(', ') || '–'}</dd>
        <dt>{t('plugins.hooks')}</dt>
        <dd>{plugin.hooks.map((hook) => (hook as { event?: string }).event).join(', ') || '–'}</dd>
        <dt>{t('keys.sessions')}</dt>
        <dd>{plugin.activeSessions.includes('*') ? t('keys.ofAll') : plugin.activeSessions.join(', ') || '–'}</dd>
      </dl>
      <Config plugin={plugin} reload={reload} />
      {asked && (
        <Confirm
          title={t('plugins.ask', { name: plugin.name })}
          yes={t('delete')}
          danger
          busy={busy}
          {...(error ? { error } : {})}
          onYes={() => void change(() => call('DELETE /api/plugins/{id}', { path })).then((done) => done && onClose())}
          onNo={() => ask(false)}
        >
          <p>{t('plugins.deleteMeans')}</p>
        </Confirm>
      )}
    </Sheet>
  );
}

function Config({ plugin, reload }: { plugin: Plugin; reload: () => void }) {
  const [value, setValue] = useState<Record<string, unknown>>(plugin.config);
  const { busy, error, run } = useAction();
  const id = useId();
  const schema = plugin.configSchema as Schema | undefined;
  const save = () =>
    run(() => call('PUT /api/plugins/{id}/config', { path: { id: plugin.id }, body: { config: value } })).then((done) => {
      if (!done) return;
      toast(t('plugins.saved'));
      reload();
    });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <h3>{t('plugins.config')}</h3>
      {schema?.properties ? (
        <SchemaForm schema={schema} value={value} change={setValue} />
      ) : (
        <div class="field">
          <label for={id}>JSON</label>
          <JsonText id={id} value={value} change={(next) => setValue(next as Record<string, unknown>)} />
        </div>
      )}
      <Problem error={error} />
      <Button type="submit" kind="main" busy={busy}>
        {t('plugins.save')}
      </Button>
    </form>
  );
}
