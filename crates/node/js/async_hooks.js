// exports: AsyncLocalStorage, AsyncResource, asyncWrapProviders, createHook, executionAsyncId, executionAsyncResource, triggerAsyncId
//
// node:async_hooks. AsyncLocalStorage follows the engine's own context and needs no hook; the ids and hooks are kept in
// internal/async_hooks.

const { core, context: { AsyncLocalStorage } } = internal;
const { codes, E } = require("internal/errors");
const { validateFunction, validateString } = require("internal/validators");
const hooks = require("internal/async_hooks");

if (codes.ERR_ASYNC_CALLBACK === undefined) E("ERR_ASYNC_CALLBACK", (name) => `${name} must be a function`, TypeError);
if (codes.ERR_ASYNC_TYPE === undefined) {
  E("ERR_ASYNC_TYPE", (name) => `Invalid name for async "type": ${name}`, TypeError);
}
if (codes.ERR_INVALID_ASYNC_ID === undefined) {
  E("ERR_INVALID_ASYNC_ID", (name, value) => `Invalid ${name} value: ${value}`, RangeError);
}

const HOOKS = ["init", "before", "after", "destroy", "promiseResolve"];

class AsyncHook {
  #callbacks;

  constructor(callbacks) {
    for (const name of HOOKS) {
      const callback = callbacks[name];
      if (callback !== undefined && typeof callback !== "function") throw new codes.ERR_ASYNC_CALLBACK(`hook.${name}`);
    }
    this.#callbacks = Object.fromEntries(HOOKS.map((name) => [name, callbacks[name]]));
  }

  enable() {
    hooks.enableHook(this.#callbacks);
    return this;
  }

  disable() {
    hooks.disableHook(this.#callbacks);
    return this;
  }
}

function createHook(callbacks) {
  return new AsyncHook(callbacks);
}

class AsyncResource {
  #id;
  #trigger;
  #frame = core.getAsyncContext();
  // Shared with the registry of collected resources.
  #state;

  constructor(type, options = {}) {
    validateString(type, "type");
    let trigger = options;
    let manual = false;
    if (typeof options !== "number") {
      trigger = options.triggerAsyncId === undefined ? hooks.defaultTriggerId() : options.triggerAsyncId;
      manual = !!options.requireManualDestroy;
    }
    if (!Number.isSafeInteger(trigger) || trigger < -1) throw new codes.ERR_INVALID_ASYNC_ID("triggerAsyncId", trigger);
    this.#id = hooks.newAsyncId();
    this.#trigger = trigger;
    this[hooks.kAsyncId] = this.#id;
    this[hooks.kTriggerId] = trigger;
    if (hooks.hooksActive()) {
      if (type.length === 0) throw new codes.ERR_ASYNC_TYPE(type);
      hooks.emitInit(this.#id, type, trigger, this);
      if (!manual) {
        this.#state = { destroyed: false };
        hooks.registerDestroy(this, this.#id, this.#state);
      }
    }
  }

  runInAsyncScope(fn, thisArg = undefined, ...args) {
    const id = this.#id;
    const outer = core.getAsyncContext();
    core.setAsyncContext(this.#frame);
    hooks.emitBefore(id, this.#trigger, this);
    try {
      return Reflect.apply(fn, thisArg, args);
    } finally {
      hooks.emitAfter(id);
      core.setAsyncContext(outer);
    }
  }

  emitDestroy() {
    if (this.#state !== undefined) this.#state.destroyed = true;
    hooks.emitDestroy(this.#id);
    return this;
  }

  asyncId() {
    return this.#id;
  }

  triggerAsyncId() {
    return this.#trigger;
  }

  bind(fn, thisArg = undefined) {
    validateFunction(fn, "fn");
    const resource = this;
    const bound = thisArg === undefined
      ? function (...args) {
        return resource.runInAsyncScope(fn, this, ...args);
      }
      : (...args) => resource.runInAsyncScope(fn, thisArg, ...args);
    Object.defineProperties(bound, {
      length: { configurable: true, enumerable: false, value: fn.length, writable: false },
      asyncResource: { configurable: true, enumerable: true, value: this, writable: true },
    });
    return bound;
  }

  static bind(fn, type = undefined, thisArg = undefined) {
    type = type || fn.name;
    return new AsyncResource(type || "bound-anonymous-fn").bind(fn, thisArg);
  }
}

const PROVIDERS = [
  "NONE", "DIRHANDLE", "DNSCHANNEL", "ELDHISTOGRAM", "FILEHANDLE", "FILEHANDLECLOSEREQ", "BLOBREADER", "FSEVENTWRAP",
  "FSREQCALLBACK", "FSREQPROMISE", "GETADDRINFOREQWRAP", "GETNAMEINFOREQWRAP", "HEAPSNAPSHOT", "HTTP2SESSION",
  "HTTP2STREAM", "HTTP2PING", "HTTP2SETTINGS", "HTTPINCOMINGMESSAGE", "HTTPCLIENTREQUEST", "LOCKS", "JSSTREAM",
  "JSUDPWRAP", "MESSAGEPORT", "PIPECONNECTWRAP", "PIPESERVERWRAP", "PIPEWRAP", "PROCESSWRAP", "PROMISE", "QUERYWRAP",
  "QUIC_ENDPOINT", "QUIC_LOGSTREAM", "QUIC_SESSION", "QUIC_STREAM", "QUIC_UDP", "SHUTDOWNWRAP", "SIGNALWRAP",
  "STATWATCHER", "STREAMPIPE", "TCPCONNECTWRAP", "TCPSERVERWRAP", "TCPWRAP", "TTYWRAP", "UDPSENDWRAP", "UDPWRAP",
  "SIGINTWATCHDOG", "WORKER", "WORKERCPUPROFILE", "WORKERCPUUSAGE", "WORKERHEAPPROFILE", "WORKERHEAPSNAPSHOT",
  "WORKERHEAPSTATISTICS", "WRITEWRAP", "ZLIB", "CHECKPRIMEREQUEST", "PBKDF2REQUEST", "KEYPAIRGENREQUEST",
  "KEYGENREQUEST", "KEYEXPORTREQUEST", "ARGON2REQUEST", "CIPHERREQUEST", "DERIVEBITSREQUEST", "HASHREQUEST",
  "RANDOMBYTESREQUEST", "RANDOMPRIMEREQUEST", "SCRYPTREQUEST", "SIGNREQUEST", "TLSWRAP", "VERIFYREQUEST",
  "QUIC_PACKET",
];

module.exports = {
  AsyncLocalStorage,
  AsyncResource,
  // The platform's table: no provider has a number of its own.
  asyncWrapProviders: Object.freeze(Object.assign({ __proto__: null }, ...PROVIDERS.map((name) => ({ [name]: 0 })))),
  createHook,
  executionAsyncId: hooks.executionAsyncId,
  executionAsyncResource: hooks.executionAsyncResource,
  triggerAsyncId: hooks.triggerAsyncId,
};
