// Tracing: `tracing` of "cloudflare:workers" and of a handler's context. Code may open spans, nest them and hang facts on
// them; no span is recorded yet, and each says so by isTraced.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const cryptography = core.loadExtScript("ext:deno_crypto/00_crypto.js");
const { AsyncLocalStorage, currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");

const ILLEGAL = Symbol("illegal constructor");
const STATUS_CODES = ["unset", "ok", "error"];
// Trace Context, "traceparent header": lengths in bytes.
const TRACE_ID = 16;
const SPAN_ID = 8;

function illegalInvocation() {
  return new TypeError(
    "Illegal invocation: function called with incorrect `this` reference. See " +
      "https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.",
  );
}

function wrongType(method, owner, place, type) {
  return new TypeError(`Failed to execute '${method}' on '${owner}': parameter ${place} is not of type '${type}'.`);
}

function newId(bytes) {
  return cryptography.crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}

// All spans of an event are of one trace.
const traceIds = new WeakMap();
const ofNone = {};

function traceId() {
  const owner = currentEvent() ?? ofNone;
  let id = traceIds.get(owner);
  if (id === undefined) {
    id = newId(TRACE_ID);
    traceIds.set(owner, id);
  }
  return id;
}

class Span {
  #context = null;

  constructor(key = undefined) {
    if (key !== ILLEGAL) throw new TypeError("Illegal constructor");
  }

  static is(value) {
    return value !== null && typeof value === "object" && #context in value;
  }

  #checked(method, count) {
    if (count === 0) throw wrongType(method, "Span", 1, "string");
    return this;
  }

  get isTraced() {
    return false;
  }

  spanContext() {
    this.#context ??= { traceId: traceId(), spanId: newId(SPAN_ID), traceFlags: 0 };
    return { ...this.#context };
  }

  setAttribute(_key, _value = undefined) {
    return this.#checked("setAttribute", arguments.length);
  }

  setAttributes(attributes) {
    if (attributes === null || typeof attributes !== "object") throw wrongType("setAttributes", "Span", 1, "Object");
    return this;
  }

  recordException(_exception) {
    if (arguments.length === 0) throw wrongType("recordException", "Span", 1, "Value");
  }

  updateName(_name) {
    return this.#checked("updateName", arguments.length);
  }

  setStatus(status) {
    if (status === null || typeof status !== "object") throw wrongType("setStatus", "Span", 1, "TracingSpanStatus");
    if (!STATUS_CODES.includes(status.code)) throw new TypeError("Span status code must be 'unset', 'ok', or 'error'.");
    return this;
  }

  end() {}
}

const { is: isSpan } = Span;
delete Span.is;
webidl.configureInterface(Span);

const active = new AsyncLocalStorage();
// The span of an event itself, which is active where no other is.
const roots = new WeakMap();

function rootSpan() {
  const owner = currentEvent() ?? ofNone;
  let span = roots.get(owner);
  if (span === undefined) {
    span = new Span(ILLEGAL);
    roots.set(owner, span);
  }
  return span;
}

class Tracing {
  #brand = true;

  constructor(key = undefined) {
    if (key !== ILLEGAL) throw new TypeError("Illegal constructor");
  }

  static check(value) {
    if (value === null || typeof value !== "object" || !(#brand in value)) throw illegalInvocation();
  }

  get Span() {
    return Span;
  }

  enterSpan(name, callback, ...args) {
    return start(this, "enterSpan", arguments.length, callback, args);
  }

  startActiveSpan(name, callback, ...args) {
    return start(this, "startActiveSpan", arguments.length, callback, args);
  }

  startSpan(_name) {
    check(this);
    if (arguments.length === 0) throw wrongType("startSpan", "Tracing", 1, "string");
    return new Span(ILLEGAL);
  }

  getActiveSpan() {
    check(this);
    return active.getStore() ?? rootSpan();
  }

  withActiveSpan(span, callback, ...args) {
    check(this);
    if (!isSpan(span)) throw wrongType("withActiveSpan", "Tracing", 1, "Span");
    if (typeof callback !== "function") throw wrongType("withActiveSpan", "Tracing", 2, "Function");
    return active.run(span, callback, ...args);
  }
}

const { check } = Tracing;
delete Tracing.check;
webidl.configureInterface(Tracing);

function start(self, method, count, callback, args) {
  check(self);
  if (count === 0) throw wrongType(method, "Tracing", 1, "string");
  if (typeof callback !== "function") throw wrongType(method, "Tracing", 2, "Function");
  const span = new Span(ILLEGAL);
  return active.run(span, callback, span, ...args);
}

return { tracing: new Tracing(ILLEGAL) };
})();
