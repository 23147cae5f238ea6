// The sliver of Node and of browsers that plugins use: timers, Buffer, URL, crypto, time zones, modules.
(function (native, house, files) {
  'use strict';
  const TIMERS_MAX = 1000;
  const define = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });

  // ---- timers
  const timers = new Map();
  const addTimer = (work, wait, repeat, args) => {
    if (typeof work !== 'function') throw new TypeError('a timer wants a function');
    if (timers.size >= TIMERS_MAX) throw new RangeError(`at most ${TIMERS_MAX} timers may run at once`);
    const ms = Math.min(Math.max(Number(wait) || 0, 4), 2147483647);
    const id = native.timer(ms, repeat);
    timers.set(id, { work, args, repeat, current: house.current() });
    const handle = { id, ref: () => handle, unref: () => handle, hasRef: () => true, [Symbol.toPrimitive]: () => id };
    return handle;
  };
  const clearTimer = (timer) => {
    const id = typeof timer === 'object' && timer !== null ? timer.id : Number(timer);
    if (timers.delete(id)) native.clearTimer(id);
  };
  const fire = (id) => {
    const timer = timers.get(id);
    if (!timer) return;
    if (!timer.repeat) timers.delete(id);
    house.as(timer.current);
    try {
      timer.work(...timer.args);
    } catch (error) {
      house.say('error', `a timer threw: ${house.describe(error)}`);
    }
  };
  define('setTimeout', (work, wait, ...args) => addTimer(work, wait, false, args));
  define('setInterval', (work, wait, ...args) => addTimer(work, wait, true, args));
  define('setImmediate', (work, ...args) => addTimer(work, 0, false, args));
  for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate']) define(name, clearTimer);
  define('queueMicrotask', (work) => {
    Promise.resolve().then(work).catch((error) => house.say('error', `a microtask threw: ${house.describe(error)}`));
  });

  // ---- text and bytes
  class TextEncoder {
    get encoding() { return 'utf-8'; }
    encode(text = '') { return native.utf8(String(text).toWellFormed()); }
  }
  class TextDecoder {
    constructor(label = 'utf-8') {
      if (!/^utf-?8$/i.test(label)) throw new RangeError(`TextDecoder: only utf-8 is here, not ${label}`);
    }
    get encoding() { return 'utf-8'; }
    decode(data) { return data === undefined ? '' : native.text(view(data)); }
  }
  const view = (data) => {
    if (data instanceof Uint8Array) return data;
    if (data instanceof ArrayBuffer) return new Uint8Array(data);
    if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    throw new TypeError('bytes are wanted: a Buffer, a typed array or an ArrayBuffer');
  };
  define('TextEncoder', TextEncoder);
  define('TextDecoder', TextDecoder);

  const HEX = '0123456789abcdef';
  const decoders = {
    utf8: (text) => native.utf8(String(text).toWellFormed()),
    hex: (text) => {
      const out = new Uint8Array(text.length >> 1);
      for (let i = 0; i < out.length; i++) {
        const byte = parseInt(text.slice(2 * i, 2 * i + 2), 16);
        if (Number.isNaN(byte)) return out.subarray(0, i);
        out[i] = byte;
      }
      return out;
    },
    base64: (text) => native.fromBase64(text),
    latin1: (text) => Uint8Array.from(text, (c) => c.charCodeAt(0) & 255),
    utf16le: (text) => {
      const out = new Uint8Array(text.length * 2);
      for (let i = 0; i < text.length; i++) {
        out[2 * i] = text.charCodeAt(i) & 255;
        out[2 * i + 1] = text.charCodeAt(i) >> 8;
      }
      return out;
    },
  };
  const latin1 = (data) => {
    let out = '';
    for (let i = 0; i < data.length; i += 4096) out += String.fromCharCode(...data.subarray(i, i + 4096));
    return out;
  };
  const encoders = {
    utf8: (data) => native.text(data),
    hex: (data) => {
      let out = '';
      for (const byte of data) out += HEX[byte >> 4] + HEX[byte & 15];
      return out;
    },
    base64: (data) => native.base64(data, false),
    base64url: (data) => native.base64(data, true),
    latin1,
    ascii: (data) => latin1(data.map((byte) => byte & 127)),
    utf16le: (data) => {
      let out = '';
      for (let i = 0; i + 1 < data.length; i += 2) out += String.fromCharCode(data[i] | (data[i + 1] << 8));
      return out;
    },
  };
  const same = { 'utf-8': 'utf8', binary: 'latin1', ucs2: 'utf16le', 'ucs-2': 'utf16le', 'utf-16le': 'utf16le' };
  const pick = (table, encoding) => {
    const name = String(encoding ?? 'utf8').toLowerCase();
    const found = table[same[name] ?? name];
    if (!found) throw new TypeError(`unknown encoding: ${encoding}`);
    return found;
  };
  decoders.base64url = decoders.base64;
  decoders.ascii = decoders.latin1;

  class Buffer extends Uint8Array {
    static from(value, encoding, length) {
      if (typeof value === 'string') return wrap(pick(decoders, encoding)(value));
      if (value instanceof ArrayBuffer) return new Buffer(value, encoding, length);
      if (value && value.type === 'Buffer' && Array.isArray(value.data)) return wrap(Uint8Array.from(value.data));
      if (ArrayBuffer.isView(value)) return wrap(Uint8Array.from(view(value)));
      return wrap(Uint8Array.from(value));
    }
    static alloc(size, fill, encoding) {
      const made = new Buffer(size);
      return fill === undefined ? made : made.fill(fill, undefined, undefined, encoding);
    }
    static allocUnsafe(size) { return new Buffer(size); }
    static concat(list, total) {
      const length = total ?? list.reduce((sum, part) => sum + part.length, 0);
      const out = new Buffer(length);
      let at = 0;
      for (const part of list) {
        if (at >= length) break;
        out.set(part.length > length - at ? part.subarray(0, length - at) : part, at);
        at += part.length;
      }
      return out;
    }
    static isBuffer(value) { return value instanceof Buffer; }
    static isEncoding(name) { return (same[String(name).toLowerCase()] ?? String(name).toLowerCase()) in decoders; }
    static byteLength(value, encoding) { return typeof value === 'string' ? pick(decoders, encoding)(value).length : view(value).length; }
    static compare(a, b) {
      for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
      return Math.sign(a.length - b.length);
    }
    toString(encoding, start = 0, end = this.length) { return pick(encoders, encoding)(this.subarray(start, end)); }
    toJSON() { return { type: 'Buffer', data: Array.from(this) }; }
    equals(other) { return Buffer.compare(this, other) === 0; }
    compare(other) { return Buffer.compare(this, other); }
    slice(start, end) { return this.subarray(start, end); }
    write(text, offset = 0, length = this.length - offset, encoding = 'utf8') {
      if (typeof offset === 'string') [offset, encoding, length] = [0, offset, this.length];
      const data = pick(decoders, encoding)(text).subarray(0, Math.min(length, this.length - offset));
      this.set(data, offset);
      return data.length;
    }
    copy(target, at = 0, start = 0, end = this.length) {
      const part = this.subarray(start, Math.min(end, start + target.length - at));
      target.set(part, at);
      return part.length;
    }
    fill(value, start, end, encoding) {
      if (typeof value !== 'string') return super.fill(value, start, end);
      const data = pick(decoders, encoding)(value);
      const last = end ?? this.length;
      for (let i = start ?? 0, j = 0; i < last; i++, j++) this[i] = data.length ? data[j % data.length] : 0;
      return this;
    }
    indexOf(value, from = 0) {
      if (typeof value === 'number') return super.indexOf(value, from);
      const wanted = typeof value === 'string' ? decoders.utf8(value) : value;
      for (let i = from; i + wanted.length <= this.length; i++) {
        let j = 0;
        while (j < wanted.length && this[i + j] === wanted[j]) j++;
        if (j === wanted.length) return i;
      }
      return -1;
    }
    includes(value, from) { return this.indexOf(value, from) >= 0; }
  }
  for (const [name, size, method] of [['UInt8', 1, 'Uint8'], ['Int8', 1, 'Int8'], ['UInt16', 2, 'Uint16'], ['Int16', 2, 'Int16'], ['UInt32', 4, 'Uint32'], ['Int32', 4, 'Int32'], ['Float', 4, 'Float32'], ['Double', 8, 'Float64']]) {
    const data = (buffer) => new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    for (const little of size === 1 ? [null] : [true, false]) {
      const end = little === null ? '' : little ? 'LE' : 'BE';
      Buffer.prototype[`read${name}${end}`] = function (at = 0) { return data(this)[`get${method}`](at, little === true); };
      Buffer.prototype[`write${name}${end}`] = function (value, at = 0) { data(this)[`set${method}`](at, value, little === true); return at + size; };
    }
  }
  const wrap = (array) => new Buffer(array.buffer, array.byteOffset, array.byteLength);
  define('Buffer', Buffer);
  define('atob', (text) => latin1(native.fromBase64(String(text))));
  define('btoa', (text) => native.base64(decoders.latin1(String(text)), false));

  // ---- structuredClone, abort, events
  define('structuredClone', (value) => {
    const seen = new Map();
    const clone = (from) => {
      if (typeof from === 'function' || typeof from === 'symbol') throw new TypeError('structuredClone: it cannot be cloned');
      if (from === null || typeof from !== 'object') return from;
      if (seen.has(from)) return seen.get(from);
      const keep = (made) => (seen.set(from, made), made);
      if (from instanceof Date) return keep(new Date(from.getTime()));
      if (from instanceof RegExp) return keep(new RegExp(from.source, from.flags));
      if (from instanceof ArrayBuffer) return keep(from.slice(0));
      if (ArrayBuffer.isView(from)) return keep(new from.constructor(from));
      if (from instanceof Map) { const made = keep(new Map()); for (const [k, v] of from) made.set(clone(k), clone(v)); return made; }
      if (from instanceof Set) { const made = keep(new Set()); for (const v of from) made.add(clone(v)); return made; }
      if (from instanceof Error) { const made = keep(new Error(from.message)); made.name = from.name; return made; }
      const made = keep(Array.isArray(from) ? [] : {});
      for (const key of Object.keys(from)) Object.defineProperty(made, key, { value: clone(from[key]), writable: true, enumerable: true, configurable: true });
      return made;
    };
    return clone(value);
  });

  class Event {
    constructor(type) { this.type = type; }
  }
  class EventTarget {
    #listeners = new Map();
    addEventListener(type, work, options) {
      const list = this.#listeners.get(type) ?? [];
      list.push({ work, once: options?.once === true });
      this.#listeners.set(type, list);
    }
    removeEventListener(type, work) {
      this.#listeners.set(type, (this.#listeners.get(type) ?? []).filter((entry) => entry.work !== work));
    }
    dispatchEvent(event) {
      for (const entry of [...(this.#listeners.get(event.type) ?? [])]) {
        if (entry.once) this.removeEventListener(event.type, entry.work);
        typeof entry.work === 'function' ? entry.work.call(this, event) : entry.work.handleEvent(event);
      }
      this[`on${event.type}`]?.(event);
      return true;
    }
  }
  class DOMException extends Error {
    constructor(message = '', name = 'Error') { super(message); this.name = name; }
  }
  const abort = Symbol('abort');
  class AbortSignal extends EventTarget {
    aborted = false;
    reason = undefined;
    onabort = null;
    throwIfAborted() { if (this.aborted) throw this.reason; }
    [abort](reason) {
      if (this.aborted) return;
      this.aborted = true;
      this.reason = reason ?? new DOMException('This operation was aborted', 'AbortError');
      this.dispatchEvent(new Event('abort'));
    }
    static abort(reason) { const made = new AbortSignal(); made[abort](reason); return made; }
    static timeout(ms) {
      const made = new AbortSignal();
      setTimeout(() => made[abort](new DOMException('The operation timed out', 'TimeoutError')), ms);
      return made;
    }
    static any(signals) {
      const made = new AbortSignal();
      for (const signal of signals) {
        if (signal.aborted) made[abort](signal.reason);
        else signal.addEventListener('abort', () => made[abort](signal.reason), { once: true });
      }
      return made;
    }
  }
  class AbortController {
    signal = new AbortSignal();
    abort(reason) { this.signal[abort](reason); }
  }
  for (const [name, value] of Object.entries({ Event, EventTarget, DOMException, AbortSignal, AbortController })) define(name, value);

  // ---- addresses
  const plus = (text) => { try { return decodeURIComponent(text.replace(/\+/g, ' ')); } catch { return text; } };
  const minus = (text) => encodeURIComponent(text).replace(/%20/g, '+').replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  class URLSearchParams {
    #pairs = [];
    #changed = null;
    constructor(init = '', changed = null) {
      this.#changed = changed;
      if (typeof init === 'string') {
        for (const part of init.replace(/^\?/, '').split('&')) {
          if (!part) continue;
          const at = part.indexOf('=');
          this.#pairs.push(at < 0 ? [plus(part), ''] : [plus(part.slice(0, at)), plus(part.slice(at + 1))]);
        }
      } else if (typeof init[Symbol.iterator] === 'function') for (const [name, value] of init) this.#pairs.push([String(name), String(value)]);
      else for (const name of Object.keys(init)) this.#pairs.push([name, String(init[name])]);
    }
    #tell() { this.#changed?.(this.toString()); }
    append(name, value) { this.#pairs.push([String(name), String(value)]); this.#tell(); }
    set(name, value) {
      const at = this.#pairs.findIndex(([other]) => other === String(name));
      if (at < 0) return this.append(name, value);
      this.#pairs = this.#pairs.filter(([other], i) => i <= at || other !== String(name));
      this.#pairs[at] = [String(name), String(value)];
      this.#tell();
    }
    delete(name) { this.#pairs = this.#pairs.filter(([other]) => other !== String(name)); this.#tell(); }
    get(name) { return this.#pairs.find(([other]) => other === String(name))?.[1] ?? null; }
    getAll(name) { return this.#pairs.filter(([other]) => other === String(name)).map(([, value]) => value); }
    has(name) { return this.#pairs.some(([other]) => other === String(name)); }
    sort() { this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)); this.#tell(); }
    forEach(work) { for (const [name, value] of this.#pairs) work(value, name, this); }
    get size() { return this.#pairs.length; }
    *entries() { yield* this.#pairs.map((pair) => [...pair]); }
    *keys() { for (const [name] of this.#pairs) yield name; }
    *values() { for (const [, value] of this.#pairs) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return this.#pairs.map(([name, value]) => `${minus(name)}=${minus(value)}`).join('&'); }
  }
  class URL {
    #parts;
    #query;
    constructor(text, base) {
      const found = native.url(String(text).toWellFormed(), base === undefined ? null : String(base).toWellFormed(), null, null);
      if (found == null) throw Object.assign(new TypeError(`Invalid URL: ${text}`), { code: 'ERR_INVALID_URL', input: String(text) });
      this.#parts = JSON.parse(found);
    }
    static canParse(text, base) { return native.url(String(text).toWellFormed(), base === undefined ? null : String(base).toWellFormed(), null, null) != null; }
    static parse(text, base) { return URL.canParse(text, base) ? new URL(text, base) : null; }
    get searchParams() {
      this.#query ??= new URLSearchParams(this.#parts.search, (text) => { this.#set('search', text); });
      return this.#query;
    }
    #set(part, value) {
      const found = native.url(this.#parts.href, null, part, String(value).toWellFormed());
      if (found != null) this.#parts = JSON.parse(found);
    }
    static {
      for (const part of ['href', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'hash']) {
        Object.defineProperty(URL.prototype, part, {
          get() { return this.#parts[part]; },
          set(value) { this.#set(part, value); this.#query = undefined; },
          enumerable: true,
          configurable: true,
        });
      }
    }
    get origin() { return this.#parts.origin; }
    toString() { return this.#parts.href; }
    toJSON() { return this.#parts.href; }
  }
  define('URL', URL);
  define('URLSearchParams', URLSearchParams);

  // ---- crypto
  const input = (data, encoding) => (typeof data === 'string' ? pick(decoders, encoding)(data) : view(data));
  const output = (data, encoding) => (encoding === undefined || encoding === 'buffer' ? wrap(data) : pick(encoders, encoding)(data));
  class Digest {
    #parts = [];
    #finish;
    constructor(finish) { this.#finish = finish; }
    update(data, encoding) { this.#parts.push(Uint8Array.from(input(data, encoding))); return this; }
    digest(encoding) { return output(this.#finish(Buffer.concat(this.#parts)), encoding); }
    sign(key, encoding) { return output(this.#finish(Buffer.concat(this.#parts), key), encoding); }
  }
  const keyText = (key) => {
    const text = typeof key === 'object' && key !== null && 'key' in key ? key.key : key;
    return typeof text === 'string' ? text : native.text(view(text));
  };
  const randomInts = (low, high) => {
    const [from, to] = high === undefined ? [0, low] : [low, high];
    const span = to - from;
    if (!(Number.isSafeInteger(from) && Number.isSafeInteger(to) && span > 0 && span <= 2 ** 47)) throw new RangeError('randomInt: a range of whole numbers is wanted');
    const limit = Math.floor(2 ** 48 / span) * span;
    for (;;) {
      const made = native.random(6).reduce((sum, byte) => sum * 256 + byte, 0);
      if (made < limit) return from + (made % span);
    }
  };
  const uuid = () => {
    const b = native.random(16);
    b[6] = (b[6] & 15) | 64;
    b[8] = (b[8] & 63) | 128;
    const h = encoders.hex(b);
    return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
  };
  const fillRandom = (array) => { view(array).set(native.random(array.byteLength)); return array; };
  const webcrypto = { randomUUID: uuid, getRandomValues: fillRandom };
  const crypto = {
    randomBytes: (size) => wrap(native.random(Number(size))),
    randomUUID: uuid,
    randomInt: randomInts,
    getRandomValues: fillRandom,
    randomFillSync: fillRandom,
    createHash: (name) => { native.hash(String(name), new Uint8Array()); return new Digest((data) => native.hash(String(name), data)); },
    createHmac: (name, key) => { const secret = Uint8Array.from(input(key)); native.hmac(String(name), secret, new Uint8Array()); return new Digest((data) => native.hmac(String(name), secret, data)); },
    createSign: (name) => {
      if (!/^(rsa-)?sha-?256$/i.test(String(name))) throw new Error(`createSign: only RSA-SHA256 is here, not ${name}`);
      return new Digest((data, key) => native.rs256(keyText(key), data));
    },
    timingSafeEqual: (a, b) => {
      const [x, y] = [view(a), view(b)];
      if (x.length !== y.length) throw new RangeError('Input buffers must have the same byte length');
      let other = 0;
      for (let i = 0; i < x.length; i++) other |= x[i] ^ y[i];
      return other === 0;
    },
    webcrypto,
  };
  define('crypto', webcrypto);

  // ---- calendars
  const LONG_DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
  const LONG_MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
  const two = (n) => String(n).padStart(2, '0');
  class DateTimeFormat {
    #zone;
    #options;
    constructor(locales, options = {}) {
      this.#zone = native.zoneName(String(options.timeZone ?? 'UTC'));
      if (this.#zone == null) throw new RangeError(`Invalid time zone specified: ${options.timeZone}`);
      const asked = ['weekday', 'year', 'month', 'day', 'hour', 'minute', 'second', 'dayPeriod', 'timeStyle', 'dateStyle', 'fractionalSecondDigits'].some((name) => options[name] !== undefined);
      this.#options = asked ? { ...options } : { ...options, year: 'numeric', month: 'numeric', day: 'numeric' };
      if (options.dateStyle) Object.assign(this.#options, { year: 'numeric', month: options.dateStyle === 'short' ? 'numeric' : options.dateStyle === 'medium' ? 'short' : 'long', day: 'numeric' }, options.dateStyle === 'full' ? { weekday: 'long' } : {});
      if (options.timeStyle) Object.assign(this.#options, { hour: 'numeric', minute: '2-digit' }, options.timeStyle === 'short' ? {} : { second: '2-digit' });
    }
    resolvedOptions() { return { locale: 'en-US', calendar: 'gregory', numberingSystem: 'latn', timeZone: this.#zone, ...this.#options }; }
    #fields(when) {
      const ms = when === undefined ? Date.now() : Number(when);
      if (!Number.isFinite(ms)) throw new RangeError('Invalid time value');
      return native.zoneFields(this.#zone, ms);
    }
    formatToParts(when) {
      const o = this.#options;
      const [year, month, day, weekday, hour, minute, second] = this.#fields(when);
      const parts = [];
      const literal = (value) => parts.length && parts.push({ type: 'literal', value });
      const name = (list, n, form) => (form === 'long' ? list[n] : form === 'narrow' ? list[n][0] : list[n].slice(0, 3));
      if (o.weekday) parts.push({ type: 'weekday', value: name(LONG_DAYS, weekday, o.weekday) });
      const monthNamed = ['long', 'short', 'narrow'].includes(o.month);
      const between = monthNamed ? ' ' : '/';
      let first = true;
      const dated = (type, value, gap) => { if (first) { if (parts.length) literal(', '); first = false; } else literal(gap); parts.push({ type, value }); };
      if (o.month) dated('month', monthNamed ? name(LONG_MONTHS, month - 1, o.month) : o.month === '2-digit' ? two(month) : String(month), between);
      if (o.day) dated('day', o.day === '2-digit' ? two(day) : String(day), between);
      if (o.year) dated('year', o.year === '2-digit' ? two(year % 100) : String(year), monthNamed && o.day ? ', ' : between);
      const cycle = o.hourCycle ?? (o.hour12 === false ? 'h23' : o.hour12 === true || o.hour12 === undefined ? 'h12' : 'h23');
      const clock = o.hour12 === false && o.hourCycle === undefined ? 'h23' : cycle;
      let timed = false;
      const time = (type, value) => { if (timed) literal(':'); else { literal(', '); timed = true; } parts.push({ type, value }); };
      if (o.hour) {
        const shown = clock === 'h12' ? hour % 12 || 12 : clock === 'h11' ? hour % 12 : clock === 'h24' ? hour || 24 : hour;
        time('hour', o.hour === '2-digit' || clock === 'h23' || clock === 'h24' ? two(shown) : String(shown));
      }
      if (o.minute) time('minute', o.hour || o.minute === '2-digit' ? two(minute) : String(minute));
      if (o.second) time('second', o.minute || o.second === '2-digit' ? two(second) : String(second));
      if (o.hour && (clock === 'h12' || clock === 'h11')) { literal(' '); parts.push({ type: 'dayPeriod', value: hour < 12 ? 'AM' : 'PM' }); }
      if (o.timeZoneName) { literal(' '); parts.push({ type: 'timeZoneName', value: native.zoneAbbreviation(this.#zone, when === undefined ? Date.now() : Number(when)) }); }
      return parts;
    }
    format(when) { return this.formatToParts(when).map((part) => part.value).join(''); }
    static supportedLocalesOf(locales) { return Array.isArray(locales) ? locales : locales ? [locales] : []; }
  }
  const Intl = globalThis.Intl ?? {};
  Intl.DateTimeFormat = function (locales, options) { return new DateTimeFormat(locales, options); };
  Intl.DateTimeFormat.prototype = DateTimeFormat.prototype;
  Intl.DateTimeFormat.supportedLocalesOf = DateTimeFormat.supportedLocalesOf;
  define('Intl', Intl);
  const local = (defaults) => function (locales, options = {}) {
    const chosen = Object.keys(options).some((name) => !['timeZone', 'hour12', 'hourCycle'].includes(name)) ? options : { ...defaults, ...options };
    return new DateTimeFormat(locales, chosen).format(this);
  };
  const date = { year: 'numeric', month: 'numeric', day: 'numeric' };
  const clock = { hour: 'numeric', minute: '2-digit', second: '2-digit' };
  for (const [name, fields] of [['toLocaleString', { ...date, ...clock }], ['toLocaleDateString', date], ['toLocaleTimeString', clock]]) {
    Object.defineProperty(Date.prototype, name, { value: local(fields), writable: true, configurable: true });
  }

  // ---- the rest
  const shown = (args) => args.map((arg) => house.text(arg)).join(' ');
  const console = {};
  for (const [name, level] of [['log', 'log'], ['info', 'log'], ['debug', 'debug'], ['trace', 'debug'], ['warn', 'warn'], ['error', 'error'], ['dir', 'log']]) console[name] = (...args) => house.say(level, shown(args));
  define('console', console);
  define('performance', { now: () => native.elapsed(), timeOrigin: Date.now() });
  define('fetch', () => Promise.reject(new Error('fetch: a plugin reaches the network only by ctx.net.fetch, with the permission net:fetch')));
  define('process', {
    env: Object.freeze({}), argv: [], platform: 'linux', pid: 0, version: 'v22.0.0', versions: { node: '22.0.0' },
    nextTick: (work, ...args) => queueMicrotask(() => work(...args)), uptime: () => native.elapsed() / 1000, on: () => undefined,
    cwd: () => '/', hrtime: Object.assign(() => { const ms = native.elapsed(); return [Math.floor(ms / 1000), Math.floor((ms % 1000) * 1e6)]; }, { bigint: () => BigInt(Math.floor(native.elapsed() * 1e6)) }),
  });
  define('global', globalThis);

  // ---- modules
  const builtins = {
    crypto: () => crypto,
    buffer: () => ({ Buffer, constants: { MAX_LENGTH: 2 ** 31 - 1 } }),
    url: () => ({ URL, URLSearchParams }),
    timers: () => ({ setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate }),
    'timers/promises': () => ({ setTimeout: (ms, value) => new Promise((go) => setTimeout(() => go(value), ms)), setImmediate: (value) => new Promise((go) => setImmediate(() => go(value))) }),
    util: () => ({ TextEncoder, TextDecoder, inspect: house.text, format: (...args) => shown(args), promisify: (work) => (...args) => new Promise((yes, no) => work(...args, (error, value) => (error ? no(error) : yes(value)))) }),
    events: () => ({ EventEmitter }),
    assert: () => Object.assign((value, message) => { if (!value) throw new Error(message ?? 'assertion failed'); }, { ok: (value, message) => { if (!value) throw new Error(message ?? 'assertion failed'); } }),
    querystring: () => ({ parse: (text) => Object.fromEntries(new URLSearchParams(text)), stringify: (object) => new URLSearchParams(object).toString() }),
  };
  class EventEmitter {
    #map = new Map();
    on(name, work) { this.#map.set(name, [...(this.#map.get(name) ?? []), work]); return this; }
    addListener(name, work) { return this.on(name, work); }
    once(name, work) { const one = (...args) => { this.off(name, one); work(...args); }; return this.on(name, one); }
    off(name, work) { this.#map.set(name, (this.#map.get(name) ?? []).filter((other) => other !== work)); return this; }
    removeListener(name, work) { return this.off(name, work); }
    removeAllListeners(name) { name === undefined ? this.#map.clear() : this.#map.delete(name); return this; }
    emit(name, ...args) { const list = this.#map.get(name) ?? []; for (const work of [...list]) work.apply(this, args); return list.length > 0; }
    listenerCount(name) { return (this.#map.get(name) ?? []).length; }
  }
  const builtin = (name) => {
    const made = builtins[name.replace(/^node:/, '')];
    if (!made) throw Object.assign(new Error(`Cannot find module '${name}': a plugin has no files, no network and no processes of Node. Here are ${Object.keys(builtins).join(', ')}, and the files of its package; ctx.net.fetch reaches the network, ctx.storage keeps data`), { code: 'MODULE_NOT_FOUND' });
    return made();
  };
  const resolve = (from, name) => {
    const parts = name.startsWith('/') ? [] : from.split('/').slice(0, -1);
    for (const part of name.split('/')) {
      if (part === '..') parts.pop();
      else if (part && part !== '.') parts.push(part);
    }
    const path = parts.join('/');
    const tries = [path, `${path}.js`, `${path}.cjs`, `${path}.mjs`, `${path}.ts`, `${path}.json`, `${path}/index.js`, `${path}/index.ts`];
    return tries.find((candidate) => files.has(candidate));
  };
  const loaded = new Map();
  const requireFrom = (from) => (name) => {
    const wanted = String(name);
    if (!/^\.{0,2}\//.test(wanted) && wanted !== '.' && wanted !== '..') return builtin(wanted);
    const path = resolve(from, wanted);
    if (path === undefined) throw Object.assign(new Error(`Cannot find module '${wanted}' from ${from}: the package has no such file`), { code: 'MODULE_NOT_FOUND' });
    return run(path);
  };
  const run = (path) => {
    if (loaded.has(path)) return loaded.get(path).exports;
    const module = { exports: {}, id: path, filename: path, loaded: false };
    loaded.set(path, module);
    if (path.endsWith('.json')) module.exports = JSON.parse(files.get(path));
    else {
      const dir = path.split('/').slice(0, -1).join('/') || '.';
      native.compile(files.get(path), path).call(module.exports, module.exports, requireFrom(path), module, path, dir);
    }
    module.loaded = true;
    return module.exports;
  };
  return { fire, run, resolve, builtin, names: (name) => Object.keys(builtin(name)).filter((key) => /^[A-Za-z_$][\w$]*$/.test(key)) };
});
