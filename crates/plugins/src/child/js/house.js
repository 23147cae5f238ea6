// What a plugin sees of Waypost, and how calls come in. Runs before any code of the plugin, and keeps what it needs of the
// language, because a plugin may change every built-in afterwards.
(function (native, program) {
  'use strict';
  const { parse, stringify } = JSON;
  const { hasOwn, create, freeze, defineProperty } = Object;
  const then = Function.prototype.call.bind(Promise.prototype.then);
  const own = (object, key) => (object !== null && typeof object === 'object' && hasOwn(object, key) ? object[key] : undefined);
  const TEXT_MAX = 8192;
  const ASKS_MAX = 32;

  // The call that this piece of work belongs to: { id, session }.
  const nobody = freeze({ id: 0, session: null });
  let current = nobody;
  const open = new Map();
  const asks = new Map();
  let nextAsk = 1;
  let plugin;
  let configs = { base: {}, sessions: {} };
  const handlers = [];
  const routes = create(null);

  const describe = (thrown) => {
    try {
      if (thrown instanceof Error) {
        const stack = typeof thrown.stack === 'string' ? thrown.stack.trim().split('\n')[0] : '';
        return `${thrown.name}: ${thrown.message}${stack ? ` (${stack.trim()})` : ''}`;
      }
      return typeof thrown === 'string' ? thrown : stringify(thrown) ?? String(thrown);
    } catch {
      return 'it threw something that cannot be shown';
    }
  };

  // Text that JSON can carry, whatever the plugin made of it.
  const text = (value) => {
    try {
      if (value instanceof Error) return describe(value);
      return typeof value === 'string' ? value : stringify(value) ?? String(value);
    } catch {
      return '[cannot be shown]';
    }
  };

  // What is over the limit of lines costs nothing. The other side counts for itself.
  let window = 0;
  let lines = 0;
  const say = (level, message, about) => {
    const now = native.elapsed();
    if (now - window > 10000) [window, lines] = [now, 0];
    if (++lines > 200) return;
    let shown = about === undefined ? undefined : text(about);
    if (shown !== undefined && shown.length > TEXT_MAX) shown = `${shown.slice(0, TEXT_MAX)}…`;
    native.post('log', 0, current.id, stringify({ level, message: text(message).slice(0, TEXT_MAX), about: shown }));
  };

  const fail = (id, thrown) => {
    if (!open.delete(id)) return;
    native.post('threw', id, 0, stringify(describe(thrown).slice(0, TEXT_MAX)));
  };
  const done = (id, value) => {
    if (!open.has(id)) return;
    try {
      native.post('answer', id, 0, stringify(value === undefined ? null : value) ?? 'null');
      open.delete(id);
    } catch (error) {
      fail(id, error);
    }
  };

  class PluginCapabilityError extends Error {
    constructor(message) {
      super(message);
      this.name = 'PluginCapabilityError';
    }
  }

  // A Buffer has a form of its own in JSON, which comes before this is asked: its place is looked at.
  const bytes = function (key, value) {
    const at = this[key];
    if (at instanceof Uint8Array) return { $bytes: native.base64(at, false) };
    return at instanceof ArrayBuffer ? { $bytes: native.base64(new Uint8Array(at), false) } : value;
  };

  const ask = (capability, args) =>
    new Promise((resolve, reject) => {
      if (asks.size >= ASKS_MAX) throw new PluginCapabilityError(`at most ${ASKS_MAX} calls of a plugin may be in flight`);
      const request = stringify({ capability, args }, bytes);
      const id = nextAsk++;
      asks.set(id, { resolve, reject, current });
      native.post('ask', id, current.id, request);
    });

  const storage = (session) => ({
    get: (key) => ask('storage.get', [session, key]),
    set: (key, value) => ask('storage.set', [session, key, value === undefined ? null : value]),
    delete: (key) => ask('storage.delete', [session, key]),
    list: (prefix) => ask('storage.list', [session, prefix ?? '']),
  });

  const configNow = () => {
    const mine = current.session !== null ? own(configs.sessions, current.session) : undefined;
    return parse(stringify(mine ?? configs.base));
  };

  const context = {
    pluginId: program.id,
    get config() {
      return configNow();
    },
    logger: {
      log: (message, meta) => say('log', message, meta),
      info: (message, meta) => say('log', message, meta),
      debug: (message, meta) => say('debug', message, meta),
      warn: (message, meta) => say('warn', message, meta),
      error: (message, error, meta) => say('error', error === undefined ? message : `${text(message)}: ${text(error)}`, meta),
    },
    storage: { ...storage(null), forSession: (session) => storage(String(session)) },
    registerHook(event, handler, priority, options) {
      if (typeof handler !== 'function') throw new TypeError('registerHook wants a function');
      const place = typeof priority === 'number' && Number.isFinite(priority) ? Math.trunc(priority) : 100;
      handlers.push(handler);
      native.post('hook', handlers.length - 1, 0, stringify({ event: String(event), priority: place, onFailure: own(options, 'onFailure') ?? null }));
    },
    registerWebhook(route, handler) {
      if (typeof handler !== 'function') throw new TypeError('registerWebhook wants a function');
      routes[String(route)] = handler;
      native.post('route', 0, 0, stringify(String(route)));
    },
    registerSearchProvider() {
      throw new PluginCapabilityError('registerSearchProvider: Waypost has its own search, and takes no other');
    },
    messages: {
      sendText: (session, chat, body) => ask('messages.sendText', [session, chat, body]),
      reply: (session, chat, quoted, body) => ask('messages.reply', [session, chat, quoted, body]),
    },
    engine: {
      getGroupInfo: (session, group) => ask('engine.getGroupInfo', [session, group]),
      getContacts: (session) => ask('engine.getContacts', [session]),
      getContactById: (session, contact) => ask('engine.getContactById', [session, contact]),
      checkNumberExists: (session, phone) => ask('engine.checkNumberExists', [session, phone]),
      getChats: (session) => ask('engine.getChats', [session]),
      getChatHistory: (session, chat, limit, media) => ask('engine.getChatHistory', [session, chat, limit ?? 50, media === true]),
      canonicalChatId: (session, chat) => ask('engine.canonicalChatId', [session, chat]),
    },
    net: { fetch: (url, init) => ask('net.fetch', [String(url), init ?? {}]) },
    conversations: { send: (envelope) => ask('conversations.send', [envelope ?? {}]) },
    handover: { set: (key, state) => ask('handover.set', [key ?? {}, state]) },
    mappings: {
      upsert: (key, conversation) => ask('mappings.upsert', [key ?? {}, conversation]),
      get: (key) => ask('mappings.get', [key ?? {}]),
      getByProvider: (instance, conversation) => ask('mappings.getByProvider', [instance, conversation]),
    },
  };
  for (const part of ['logger', 'storage', 'messages', 'engine', 'net', 'conversations', 'handover', 'mappings']) freeze(context[part]);
  freeze(context);

  const load = (given) => {
    configs = given;
    const start = (exported) => {
      const main = own(exported, 'default') ?? (typeof exported === 'object' && exported !== null && exported.default) ?? exported;
      const found = main || exported;
      if (typeof found !== 'function' && (typeof found !== 'object' || found === null)) {
        throw new TypeError(`${program.main} exports no plugin: a class, or an object with onEnable`);
      }
      plugin = typeof found === 'function' ? new found() : found;
      return typeof plugin.onLoad === 'function' ? plugin.onLoad(context) : undefined;
    };
    const exported = native.main(program.main);
    return exported instanceof Promise ? then(exported, start) : start(exported);
  };

  const lifecycle = (name, ...rest) => (typeof plugin?.[name] === 'function' ? plugin[name](context, ...rest) : undefined);
  const verdict = (result) => {
    const answer = { continue: own(result, 'continue') !== false };
    const data = own(result, 'data');
    if (data !== undefined) answer.data = data;
    const error = own(result, 'error');
    if (error !== undefined && error !== null) answer.error = describe(error);
    return answer;
  };
  const nothing = () => null;

  // What each kind of call does, and what of its result goes back.
  const kinds = {
    load: (what) => [load(what.configs), nothing],
    enable: () => [lifecycle('onEnable'), nothing],
    disable: () => [lifecycle('onDisable'), nothing],
    unload: () => [lifecycle('onUnload'), nothing],
    configure: (what) => {
      configs = what.configs;
      return [lifecycle('onConfigChange', configNow()), nothing];
    },
    health: () => [
      typeof plugin?.healthCheck === 'function' ? plugin.healthCheck() : { healthy: true },
      (found) => ({ healthy: own(found, 'healthy') === true, message: own(found, 'message') === undefined ? null : text(found.message) }),
    ],
    hook: (what) => {
      const about = what.context;
      about.timestamp = new Date(about.timestamp);
      return [handlers[what.handler](about), verdict];
    },
    ingress: (what) => {
      const handler = routes[what.route];
      if (!handler) throw new PluginCapabilityError(`the plugin registered no route ${what.route}`);
      return [handler(what.request), nothing];
    },
  };

  const call = (id, body) => {
    const what = parse(body);
    const me = freeze({ id, session: what.session ?? null });
    open.set(id, me);
    current = me;
    try {
      const [result, shown] = kinds[what.kind](what);
      const finish = (value) => {
        try {
          done(id, shown(value));
        } catch (error) {
          fail(id, error);
        }
      };
      const waits = result !== null && typeof result === 'object' && typeof result.then === 'function';
      if (waits) then(Promise.resolve(result), finish, (error) => fail(id, error));
      else finish(result);
    } catch (error) {
      fail(id, error);
    }
  };

  const result = (id, ok, body) => {
    const waiting = asks.get(id);
    if (!waiting) return;
    asks.delete(id);
    current = waiting.current;
    if (ok) waiting.resolve(parse(body));
    else waiting.reject(new PluginCapabilityError(parse(body)));
  };

  return {
    call,
    result,
    // Nothing can go on: no answer of the house and no timer is waited for.
    never: () => {
      for (const id of [...open.keys()]) fail(id, new Error('it waits for a promise that nothing can settle'));
    },
    rest: () => {
      current = nobody;
    },
    current: () => current,
    as: (who) => {
      current = who;
    },
    waits: () => asks.size > 0,
    isOpen: () => open.size > 0,
    say,
    text,
    describe,
  };
});
