// A form for what a JSON schema describes: texts, numbers, choices, lists and what is made of them.
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { t } from '../state/text';
import { Button } from './ui';

export type Schema = {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  secret?: boolean;
  required?: boolean | string[];
  minimum?: number;
  maximum?: number;
  properties?: Record<string, Schema>;
  items?: Schema;
};

type FieldProps = { name: string; schema: Schema; value: unknown; change: (value: unknown) => void };

export function SchemaForm({ schema, value, change }: { schema: Schema; value: Record<string, unknown>; change: (value: Record<string, unknown>) => void }) {
  return (
    <>
      {Object.entries(schema.properties ?? {}).map(([name, of]) => (
        <SchemaField
          key={name}
          name={name}
          schema={of}
          value={value[name] ?? of.default}
          change={(next) => change({ ...value, [name]: next })}
        />
      ))}
    </>
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function SchemaField({ name, schema, value, change }: FieldProps) {
  const label = schema.title ?? name;
  if (schema.type === 'object' && schema.properties) {
    return (
      <fieldset>
        <legend>{label}</legend>
        {schema.description && <p class="hint">{schema.description}</p>}
        <SchemaForm schema={schema} value={isObject(value) ? value : {}} change={change} />
      </fieldset>
    );
  }
  if (schema.type === 'array' && schema.items) {
    return <ListField name={name} schema={schema} value={value} change={change} />;
  }
  return <Plain name={name} schema={schema} value={value} change={change} />;
}

function ListField({ name, schema, value, change }: FieldProps) {
  const rows = Array.isArray(value) ? (value as unknown[]) : [];
  const items = schema.items!;
  const fresh = items.default ?? { object: {}, boolean: false, number: 0, integer: 0 }[items.type ?? ''] ?? '';
  const label = schema.title ?? name;
  return (
    <fieldset>
      <legend>{label}</legend>
      {schema.description && <p class="hint">{schema.description}</p>}
      {rows.map((row, at) => (
        <div key={at} class="list-item">
          <SchemaField
            name={String(at + 1)}
            schema={items}
            value={row}
            change={(next) => change(rows.map((old, index) => (index === at ? next : old)))}
          />
          <Button label={`${t('delete')}: ${label} ${at + 1}`} onClick={() => change(rows.filter((_, index) => index !== at))}>
            ✕
          </Button>
        </div>
      ))}
      <Button onClick={() => change([...rows, fresh])}>{t('add')}</Button>
    </fieldset>
  );
}

function Plain({ name, schema, value, change }: FieldProps) {
  const id = useId();
  const label = schema.title ?? name;
  const needed = schema.required === true;
  const hint = schema.description && <p class="hint">{schema.description}</p>;
  if (schema.type === 'boolean') {
    return (
      <div class="field">
        <label>
          <input type="checkbox" checked={value === true} onChange={(event) => change(event.currentTarget.checked)} /> {label}
        </label>
        {hint}
      </div>
    );
  }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {schema.enum ? (
        <select
          id={id}
          required={needed}
          value={String(value ?? '')}
          onChange={(event) => change(schema.enum!.find((choice) => String(choice) === event.currentTarget.value) ?? null)}
        >
          {/* What was never chosen is shown as that, and not as the first choice. */}
          {(value === undefined || value === null || !needed) && <option value="">–</option>}
          {schema.enum.map((choice) => (
            <option key={String(choice)} value={String(choice)}>
              {String(choice)}
            </option>
          ))}
        </select>
      ) : schema.type === 'number' || schema.type === 'integer' ? (
        <input
          id={id}
          type="number"
          required={needed}
          step={schema.type === 'integer' ? 1 : 'any'}
          min={schema.minimum}
          max={schema.maximum}
          value={typeof value === 'number' ? value : ''}
          onInput={(event) => change(event.currentTarget.value === '' ? null : event.currentTarget.valueAsNumber)}
        />
      ) : schema.type === 'string' || schema.type === undefined ? (
        <input
          id={id}
          {...(schema.secret ? { type: 'password' as const } : { type: 'text' as const })}
          autocomplete="off"
          required={needed}
          value={typeof value === 'string' ? value : ''}
          onInput={(event) => change(event.currentTarget.value)}
        />
      ) : (
        <JsonText id={id} value={value} change={change} />
      )}
      {hint}
    </div>
  );
}

/** What no field is for is written as JSON. */
export function JsonText({ id, value, change }: { id: string; value: unknown; change: (value: unknown) => void }) {
  const [text, setText] = useState(() => JSON.stringify(value ?? null, null, 2));
  const [wrong, setWrong] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => setWrong(false), [value]);
  // What was right before must not be saved in its place.
  useEffect(() => area.current!.setCustomValidity(wrong ? t('notJson') : ''), [wrong]);
  return (
    <>
      <textarea
        id={id}
        ref={area}
        rows={6}
        spellcheck={false}
        value={text}
        aria-invalid={wrong}
        onInput={(event) => {
          setText(event.currentTarget.value);
          try {
            change(JSON.parse(event.currentTarget.value));
            setWrong(false);
          } catch {
            setWrong(true);
          }
        }}
      />
      {wrong && (
        <p class="problem" role="alert">
          {t('notJson')}
        </p>
      )}
    </>
  );
}
