// The context that follows an event through everything it starts: which event it is, and what AsyncLocalStorage holds.
//
// V8 keeps one value per continuation ("continuation-preserved embedder data") and restores it in promise reactions;
// timers restore it too. That value is a Frame, immutable, so that capturing it costs nothing. An event enters one frame
// and each AsyncLocalStorage.run one more.
(function () {
const { core } = __bootstrap;
const { getAsyncContext, setAsyncContext } = core;

class Frame {
  // event: the ExecutionContext whose handler runs; null at module top level.
  // storage: Map of AsyncLocalStorage to its value, or null. Never changed once it stands in a frame.
  constructor(event, storage) {
    this.event = event;
    this.storage = storage;
  }
}

function currentEvent() {
  const frame = getAsyncContext();
  return frame === undefined || frame === null ? null : frame.event;
}

// True while the worker's modules are being evaluated: no I/O, timers or random values then, as the platform has it.
let atGlobalScope = true;

function leaveGlobalScope() {
  atGlobalScope = false;
}

const GLOBAL_SCOPE_MESSAGE = "Disallowed operation called within global scope. Asynchronous I/O (ex: fetch() or connect()), " +
  "setting a timeout, and generating random values are not allowed within global scope. To fix this error, perform this " +
  "operation within a handler. https://developers.cloudflare.com/workers/runtime-apis/handlers/";

function assertInHandler() {
  if (atGlobalScope) throw new Error(GLOBAL_SCOPE_MESSAGE);
}

class AsyncLocalStorage {
  #defaultValue;
  #name;

  constructor(options = undefined) {
    this.#defaultValue = options?.defaultValue;
    this.#name = options?.name ?? "";
  }

  get name() {
    return this.#name;
  }

  run(store, callback, ...args) {
    const outer = getAsyncContext();
    const storage = new Map(outer?.storage ?? []);
    storage.set(this, store);
    setAsyncContext(new Frame(outer?.event ?? null, storage));
    try {
      return callback.apply(undefined, args);
    } finally {
      setAsyncContext(outer);
    }
  }

  exit(callback, ...args) {
    const outer = getAsyncContext();
    const storage = new Map(outer?.storage ?? []);
    storage.delete(this);
    setAsyncContext(new Frame(outer?.event ?? null, storage));
    try {
      return callback.apply(undefined, args);
    } finally {
      setAsyncContext(outer);
    }
  }

  getStore() {
    const storage = getAsyncContext()?.storage;
    return storage != null && storage.has(this) ? storage.get(this) : this.#defaultValue;
  }

  enterWith() {
    throw new Error("asyncLocalStorage.enterWith() is not implemented; use asyncLocalStorage.run()");
  }

  disable() {
    throw new Error("asyncLocalStorage.disable() is not implemented");
  }

  static bind(callback) {
    return AsyncResource.bind(callback);
  }

  static snapshot() {
    const frame = getAsyncContext();
    return function (callback, ...args) {
      const outer = getAsyncContext();
      setAsyncContext(frame);
      try {
        return callback.apply(this, args);
      } finally {
        setAsyncContext(outer);
      }
    };
  }
}

class AsyncResource {
  #frame = getAsyncContext();
  #type;

  constructor(type, _options) {
    if (typeof type !== "string") throw new TypeError('The "type" argument must be of type string.');
    this.#type = type;
  }

  get type() {
    return this.#type;
  }

  static bind(callback, type, thisArg) {
    return new AsyncResource(type ?? callback.name ?? "bound-anonymous-fn").bind(callback, thisArg);
  }

  bind(callback, thisArg) {
    if (typeof callback !== "function") throw new TypeError('The "fn" argument must be of type function.');
    const resource = this;
    const bound = function (...args) {
      return resource.runInAsyncScope(callback, thisArg ?? this, ...args);
    };
    Object.defineProperty(bound, "length", { configurable: true, value: callback.length });
    return bound;
  }

  runInAsyncScope(callback, thisArg, ...args) {
    const outer = getAsyncContext();
    setAsyncContext(this.#frame);
    try {
      return callback.apply(thisArg, args);
    } finally {
      setAsyncContext(outer);
    }
  }

  asyncId() {
    return 0;
  }

  triggerAsyncId() {
    return 0;
  }

  emitDestroy() {
    return this;
  }
}

return {
  AsyncLocalStorage,
  AsyncResource,
  assertInHandler,
  currentEvent,
  Frame,
  leaveGlobalScope,
};
})();
