// The settings that are in force, and where each comes from.
import { useState } from 'preact/hooks';
import { Table, type Column } from '../parts/table';
import { Chips, Empty, Pill } from '../parts/ui';
import { listSettings, type Setting, type Source } from '../rules/settings';
import { t } from '../state/text';
import type { Installation } from './installation';

const SOURCES = ['all', 'environment', 'file', 'default'] as const;

export function SettingsCard({ installation }: { installation: Installation }) {
  const { config, known } = installation;
  const [source, choose] = useState<Source | 'all'>('all');
  const [text, setText] = useState('');
  if (!config) {
    return (
      <section class="card">
        <h2>{t('settings')}</h2>
        <p class="quiet">{t('missing')}</p>
      </section>
    );
  }
  const secrets = Object.entries(config.secrets).map(
    ([name, value]): Setting => ({ name, value: value === null ? '–' : String(value), source: value === null ? 'default' : 'environment', variable: name }),
  );
  const all = [...listSettings(config.config, config.envPinned, known), ...secrets];
  const wanted = text.trim().toLowerCase();
  const rows = all.filter(
    (of) =>
      (source === 'all' || of.source === source) &&
      (!wanted || [of.name, of.variable, of.value].some((part) => part?.toLowerCase().includes(wanted))),
  );
  return (
    <section class="card">
      <h2>{t('settings')}</h2>
      <p class="hint long">{t('settings.hint', { path: config.envPath })}</p>
      <div class="bar">
        <Chips
          label={t('settings.source')}
          chips={SOURCES.map((id) => ({
            id,
            label: t(`source.${id}`),
            count: id === 'all' ? all.length : all.filter((of) => of.source === id).length,
          }))}
          chosen={source}
          choose={choose}
        />
        <input
          type="search"
          value={text}
          placeholder={t('settings.find')}
          aria-label={t('settings.find')}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </div>
      {rows.length ? (
        <Table label={t('settings')} rows={rows} keyOf={({ name }) => name} columns={columns(config.restartRequired)} rowHeight={36} />
      ) : (
        <Empty title={t('settings.none')} />
      )}
    </section>
  );
}

function columns(waiting: readonly string[]): Column<Setting>[] {
  return [
    { id: 'name', label: t('settings.name'), show: ({ name }) => <code title={name}>{name}</code> },
    {
      id: 'value',
      label: t('settings.value'),
      show: ({ name, value }) => (
        <>
          <code title={value}>{value}</code> {waiting.includes(name) && <Pill tone="warn">{t('settings.restart')}</Pill>}
        </>
      ),
    },
    {
      id: 'source',
      label: t('settings.source'),
      rank: 2,
      show: ({ source, variable }) => (
        <>
          {t(`source.${source}`)} {source === 'environment' && <code class="quiet">{variable}</code>}
        </>
      ),
    },
  ];
}
