// Types for authors of Waypost plugins. What Waypost adds to OpenWA's contract is marked "Waypost".
// Use: `import type { Plugin, PluginContext } from './waypost-plugin';`

export type HookPoint =
  | 'session:created' | 'session:starting' | 'session:ready' | 'session:qr'
  | 'session:disconnected' | 'session:error' | 'session:deleted'
  | 'message:received' | 'message:sending' | 'message:sent' | 'message:failed'
  | 'message:ack' | 'message:persisted' | 'message:deleted'
  | 'webhook:before' | 'webhook:queued' | 'webhook:delivered' | 'webhook:after' | 'webhook:error'
  | 'ingress:error';

/** What a handler sees. */
export interface HookContext<Data = any> {
  event: HookPoint;
  data: Data;
  sessionId?: string;
  timestamp: Date;
  /** `Engine` for what WhatsApp said. */
  source: string;
}

/** What a handler answers; nothing means: go on. */
export interface HookResult<Data = any> {
  /** `false` is a veto at `message:sending` and `webhook:before`; elsewhere it keeps later plugins from being asked. */
  continue: boolean;
  data?: Data;
  /** The handler failed; what that means is its failure mode. */
  error?: unknown;
}

export type HookHandler<Data = any> =
  (hook: HookContext<Data>) => HookResult<Data> | void | Promise<HookResult<Data> | void>;

/** A message, as `message.received` and `message.sent` events show it. */
export interface Message {
  id: string;
  from: string;
  to: string;
  chatId: string;
  body: string;
  type: string;
  /** Seconds. */
  timestamp: number;
  fromMe: boolean;
  isGroup: boolean;
  kind: 'individual' | 'group' | 'channel' | 'status' | 'broadcast' | 'unknown';
  author?: string;
  contact?: { name?: string; pushName?: string };
  /** `data` is base64, for files of up to 4 MiB. */
  media?: { mimetype: string; filename?: string; data?: string; omitted?: boolean; sizeBytes?: number };
  quotedMessage?: { id: string; body: string };
  location?: { latitude: number; longitude: number; description?: string; address?: string; url?: string };
  mentionedIds?: string[];
  [field: string]: unknown;
}

/** `message:sending`: the body of the send, as the HTTP API takes it. */
export interface Sending {
  sessionId: string;
  type: string;
  input: { chatId: string; text?: string; caption?: string; mentions?: string[]; [field: string]: unknown };
}

/** `webhook:before`: only `payload.data` may be changed. */
export interface BeforeWebhook {
  sessionId: string;
  event: string;
  webhookId: string;
  payload: { event: string; sessionId: string; data: Record<string, unknown>; [field: string]: unknown };
}

export interface Sent { messageId: string; timestamp: number }

export interface Storage {
  get<T = unknown>(key: string): Promise<T | null>;
  set(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<void>;
  list(prefix?: string): Promise<string[]>;
}

export interface NetResponse {
  ok: boolean;
  status: number;
  statusText: string;
  headers: Record<string, string>;
  body: string;
}

export interface WebhookRequest {
  instanceId: string;
  method: string;
  headers: Record<string, string>;
  query: Record<string, string>;
  body: string;
  rawBody: string;
  verified: boolean;
  deliveryId: string;
  sessionId: string | null;
}

export interface MappingKey { sessionId: string; chatId: string; instanceId: string }
export type HandoverState = 'bot' | 'human' | 'closed';

export interface PluginContext {
  readonly pluginId: string;
  /** The configuration of the session that the running call is about: read it in the handler. */
  readonly config: Record<string, any>;
  logger: {
    log(message: string, about?: unknown): void;
    debug(message: string, about?: unknown): void;
    warn(message: string, about?: unknown): void;
    error(message: string, error?: unknown, about?: unknown): void;
  };
  /** Waypost: `forSession` keeps values that go with the session. */
  storage: Storage & { forSession(sessionId: string): Storage };
  registerHook(point: 'message:received' | 'message:sent', handler: HookHandler<Message>, priority?: number, options?: HookOptions): void;
  registerHook(point: 'message:sending', handler: HookHandler<Sending>, priority?: number, options?: HookOptions): void;
  registerHook(point: 'webhook:before', handler: HookHandler<BeforeWebhook>, priority?: number, options?: HookOptions): void;
  registerHook(point: HookPoint, handler: HookHandler, priority?: number, options?: HookOptions): void;
  registerWebhook(route: string, handler: (request: WebhookRequest) => unknown): void;
  messages: {
    sendText(sessionId: string, chatId: string, text: string): Promise<Sent>;
    reply(sessionId: string, chatId: string, quotedMessageId: string, text: string): Promise<Sent>;
  };
  engine: {
    getContacts(sessionId: string): Promise<unknown[]>;
    getContactById(sessionId: string, contactId: string): Promise<unknown>;
    getChats(sessionId: string): Promise<unknown[]>;
    getChatHistory(sessionId: string, chatId: string, limit?: number, includeMedia?: boolean): Promise<Message[]>;
    checkNumberExists(sessionId: string, phone: string): Promise<boolean>;
    canonicalChatId(sessionId: string, chatId: string): Promise<string>;
    getGroupInfo(sessionId: string, groupId: string): Promise<unknown>;
  };
  net: {
    fetch(url: string, init?: { method?: string; headers?: Record<string, string>; body?: string | Uint8Array; timeoutMs?: number }): Promise<NetResponse>;
  };
  conversations: { send(envelope: Record<string, unknown>): Promise<Sent> };
  handover: { set(key: MappingKey, state: HandoverState): Promise<unknown> };
  mappings: {
    upsert(key: MappingKey, providerConversationId: string): Promise<unknown>;
    get(key: MappingKey): Promise<{ providerConversationId: string; handoverState: HandoverState } | null>;
    getByProvider(instanceId: string, providerConversationId: string): Promise<{ sessionId: string; chatId: string; handoverState: HandoverState } | null>;
  };
}

/** Waypost: what the failure of this handler means. */
export interface HookOptions { onFailure?: 'open' | 'closed' }

export interface Plugin {
  onLoad?(ctx: PluginContext): unknown;
  onEnable?(ctx: PluginContext): unknown;
  onDisable?(ctx: PluginContext): unknown;
  onUnload?(ctx: PluginContext): unknown;
  onConfigChange?(ctx: PluginContext, config: Record<string, any>): unknown;
  healthCheck?(): { healthy: boolean; message?: string } | Promise<{ healthy: boolean; message?: string }>;
}
