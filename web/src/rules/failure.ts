// Why a send failed, as the row of its message says.
export type Failure = { kind: string; code: number | null; reason: string };

/** The failure in a message's metadata; nothing where there is none. */
export function failureOf(metadata: Record<string, unknown> | null): Failure | undefined {
  const failure = metadata?.['failure'] as { kind?: unknown; code?: unknown; reason?: unknown } | undefined;
  if (!failure || typeof failure !== 'object') return undefined;
  return {
    kind: typeof failure.kind === 'string' ? failure.kind : 'refused',
    code: typeof failure.code === 'number' ? failure.code : null,
    reason: typeof failure.reason === 'string' ? failure.reason : '',
  };
}
