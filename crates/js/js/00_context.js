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
  // account: what the event has used (03_account.js); null at module top level. The host reads its id (src/interrupt.rs).
  constructor(event, storage, account) {
    this.event = event;
    this.storage = storage;
    this.account = account;
  }
}

function currentFrame() {
  return getAsyncContext() ?? null;
}

function currentEvent() {
  const frame = getAsyncContext();
  return frame === undefined || frame === null ? null : frame.event;
}

// True while the worker's modules are being evaluated: no I/O, timers or random values then, as the platform has it.
let atGlobalScope = true;

const leaveGlobalScope = (function leaveGlobalScope() {
  atGlobalScope = false;
});

const GLOBAL_SCOPE_MESSAGE = "Disallowed operation called within global scope. Asynchronous I/O (ex: fetch() or connect()), " +
  "setting a timeout, and generating random values are not allowed within global scope. To fix this error, perform this " +
  "operation within a handler. https://developers.cloudflare.com/workers/runtime-apis/handlers/";

function assertInHandler() {
  if (atGlobalScope) throw new Error(GLOBAL_SCOPE_MESSAGE);
}

// The message and code of Node's check of a callback.
function notFunction(name, value) {
  const type = value === null || value === undefined ? `${value}` : `type ${typeof value}`;
  const error = new TypeError(`The "${name}" argument must be of type function. Received ${type}`);
  error.code = "ERR_INVALID_ARG_TYPE";
  return error;
}

// I/O belongs to the event that began it. `owner`: that event, or null for what began at global scope. Code that runs for
// no event (a finalizer) may use everything.
function assertSameEvent(owner, type) {
  const event = currentEvent();
  if (owner === event || owner === null || event === null) return;
  throw new Error(
    "Cannot perform I/O on behalf of a different request. I/O objects (such as streams, request/response bodies, and others) created " +
      "in the context of one request handler cannot be accessed from a different request's handler. This is a limitation of " +
      `Cloudflare Workers which allows us to improve overall performance. (I/O type: ${type})`,
  );
}

class AsyncLocalStorage {
  #defaultValue;
  #name;
  // What stands for this storage in frames. disable() takes a new one, so that what older frames hold is no longer found.
  #key = {};

  constructor(options = undefined) {
    this.#defaultValue = options?.defaultValue;
    this.#name = options?.name ?? "";
  }

  get name() {
    return this.#name;
  }

  #frameWith(outer, store) {
    const storage = new Map(outer?.storage ?? []);
    storage.set(this.#key, store);
    return new Frame(outer?.event ?? null, storage, outer?.account ?? null);
  }

  run(store, callback, ...args) {
    const outer = getAsyncContext();
    setAsyncContext(this.#frameWith(outer, store));
    try {
      return callback.apply(undefined, args);
    } finally {
      setAsyncContext(outer);
    }
  }

  exit(callback, ...args) {
    const outer = getAsyncContext();
    const storage = new Map(outer?.storage ?? []);
    storage.delete(this.#key);
    setAsyncContext(new Frame(outer?.event ?? null, storage, outer?.account ?? null));
    try {
      return callback.apply(undefined, args);
    } finally {
      setAsyncContext(outer);
    }
  }

  getStore() {
    const storage = getAsyncContext()?.storage;
    return storage != null && storage.has(this.#key) ? storage.get(this.#key) : this.#defaultValue;
  }

  // For the rest of what runs now and all that it starts. The platform lacks it; Node has it.
  enterWith(store) {
    setAsyncContext(this.#frameWith(getAsyncContext(), store));
  }

  disable() {
    this.#key = {};
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
    if (typeof callback !== "function") throw notFunction("fn", callback);
    return new AsyncResource(type ?? (callback.name || "bound-anonymous-fn")).bind(callback, thisArg);
  }

  bind(callback, thisArg) {
    if (typeof callback !== "function") throw notFunction("fn", callback);
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
  assertSameEvent,
  currentEvent,
  currentFrame,
  Frame,
  leaveGlobalScope,
};
})();
