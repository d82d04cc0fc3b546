// exports: addAbortListener, captureRejectionSymbol, captureRejections, defaultMaxListeners, errorMonitor, EventEmitter
// exports: EventEmitterAsyncResource, getEventListeners, getMaxListeners, init, listenerCount, on, once, setMaxListeners
// exports: usingDomains
//
// node:events. An emitter's listeners stand in `_events`: for each name a function or an array of functions, as programs that
// look into emitters know it. Arrays are copied before they are called, so listeners may add and remove listeners.

const { AbortError, codes, genericNodeError } = require("internal/errors");
const { ERR_INVALID_ARG_TYPE, ERR_UNHANDLED_ERROR } = codes;
const { validateAbortSignal, validateBoolean, validateFunction, validateInteger, validateNumber, validateObject, validateString } =
  require("internal/validators");
const { emitWarning, nextTick } = require("internal/host_process");
const { inspect } = require("internal/inspect");
const { eventTargetData, kResistStopImmediatePropagation } = internal.load("ext:deno_web/02_event.js");

const kCapture = Symbol("kCapture");
const errorMonitor = Symbol("events.errorMonitor");
const captureRejectionSymbol = Symbol.for("nodejs.rejection");

let defaultMaxListeners = 10;

function checkListener(listener) {
  validateFunction(listener, "listener");
}

function EventEmitter(options) {
  EventEmitter.init.call(this, options);
}

EventEmitter.prototype._events = undefined;
EventEmitter.prototype._eventsCount = 0;
EventEmitter.prototype._maxListeners = undefined;

Object.defineProperty(EventEmitter.prototype, kCapture, { value: false, writable: true, enumerable: false });

Object.defineProperties(EventEmitter, {
  captureRejections: {
    get() {
      return EventEmitter.prototype[kCapture];
    },
    set(value) {
      validateBoolean(value, "EventEmitter.captureRejections");
      EventEmitter.prototype[kCapture] = value;
    },
    configurable: true,
    enumerable: true,
  },
  defaultMaxListeners: {
    get() {
      return defaultMaxListeners;
    },
    set(count) {
      validateNumber(count, "defaultMaxListeners", 0);
      defaultMaxListeners = count;
    },
    enumerable: true,
  },
  kMaxEventTargetListeners: { value: Symbol("events.maxEventTargetListeners"), enumerable: false },
  kMaxEventTargetListenersWarned: { value: Symbol("events.maxEventTargetListenersWarned"), enumerable: false },
});

EventEmitter.init = function (options) {
  if (this._events === undefined || this._events === Object.getPrototypeOf(this)._events) {
    this._events = { __proto__: null };
    this._eventsCount = 0;
  }
  this._maxListeners = this._maxListeners || undefined;
  if (options?.captureRejections) {
    validateBoolean(options.captureRejections, "options.captureRejections");
    this[kCapture] = Boolean(options.captureRejections);
  } else {
    this[kCapture] = EventEmitter.prototype[kCapture];
  }
};

EventEmitter.prototype.setMaxListeners = function setMaxListeners(n) {
  validateNumber(n, "setMaxListeners", 0);
  this._maxListeners = n;
  return this;
};

function maxListenersOf(emitter) {
  return emitter._maxListeners === undefined ? defaultMaxListeners : emitter._maxListeners;
}

EventEmitter.prototype.getMaxListeners = function getMaxListeners() {
  return maxListenersOf(this);
};

// A listener's promise that rejects becomes an error event.
function watch(emitter, result, type, args) {
  if (!emitter[kCapture]) return;
  try {
    const { then } = result;
    if (typeof then !== "function") return;
    then.call(result, undefined, (error) => nextTick(rejected, emitter, error, type, args));
  } catch (error) {
    emitter.emit("error", error);
  }
}

function rejected(emitter, error, type, args) {
  if (typeof emitter[captureRejectionSymbol] === "function") {
    emitter[captureRejectionSymbol](error, type, ...args);
    return;
  }
  const captured = emitter[kCapture];
  // A second rejection, in a listener of this error event, must not come back here.
  try {
    emitter[kCapture] = false;
    emitter.emit("error", error);
  } finally {
    emitter[kCapture] = captured;
  }
}

function throwUnhandled(error) {
  if (error instanceof Error) throw error;
  let shown;
  try {
    shown = inspect(error);
  } catch {
    shown = error;
  }
  const unhandled = new ERR_UNHANDLED_ERROR(shown);
  unhandled.context = error;
  throw unhandled;
}

EventEmitter.prototype.emit = function emit(type, ...args) {
  const events = this._events;
  if (type === "error") {
    if (events !== undefined && events[errorMonitor] !== undefined) this.emit(errorMonitor, ...args);
    if (events === undefined || events.error === undefined) throwUnhandled(args[0]);
  }
  const handler = events?.[type];
  if (handler === undefined) return false;
  if (typeof handler === "function") {
    const result = Reflect.apply(handler, this, args);
    if (result !== undefined && result !== null) watch(this, result, type, args);
  } else {
    for (const listener of [...handler]) {
      const result = Reflect.apply(listener, this, args);
      if (result !== undefined && result !== null) watch(this, result, type, args);
    }
  }
  return true;
};

function add(emitter, type, listener, prepend) {
  checkListener(listener);
  let events = emitter._events;
  if (events === undefined) {
    events = emitter._events = { __proto__: null };
    emitter._eventsCount = 0;
  } else if (events.newListener !== undefined) {
    // Before it is added, so that a listener of newListener sees a state without it.
    emitter.emit("newListener", type, listener.listener ?? listener);
    events = emitter._events;
  }
  const existing = events[type];
  if (existing === undefined) {
    events[type] = listener;
    ++emitter._eventsCount;
    return emitter;
  }
  const list = typeof existing === "function" ? (events[type] = [existing]) : existing;
  if (prepend) list.unshift(listener);
  else list.push(listener);
  const max = maxListenersOf(emitter);
  if (max > 0 && list.length > max && !list.warned) {
    list.warned = true;
    emitWarning(genericNodeError(
      `Possible EventEmitter memory leak detected. ${list.length} ${String(type)} listeners added to ${
        inspect(emitter, { depth: -1 })
      }. MaxListeners is ${max}. Use emitter.setMaxListeners() to increase limit`,
      { name: "MaxListenersExceededWarning", emitter, type, count: list.length },
    ));
  }
  return emitter;
}

EventEmitter.prototype.addListener = function addListener(type, listener) {
  return add(this, type, listener, false);
};
EventEmitter.prototype.on = EventEmitter.prototype.addListener;

EventEmitter.prototype.prependListener = function prependListener(type, listener) {
  return add(this, type, listener, true);
};

// A function that removes itself and calls the listener, which stands in its `listener`.
function onceWrapper(emitter, type, listener) {
  let fired = false;
  const wrapper = function (...args) {
    if (fired) return undefined;
    emitter.removeListener(type, wrapper);
    fired = true;
    return Reflect.apply(listener, emitter, args);
  };
  wrapper.listener = listener;
  return wrapper;
}

EventEmitter.prototype.once = function once(type, listener) {
  checkListener(listener);
  this.on(type, onceWrapper(this, type, listener));
  return this;
};

EventEmitter.prototype.prependOnceListener = function prependOnceListener(type, listener) {
  checkListener(listener);
  this.prependListener(type, onceWrapper(this, type, listener));
  return this;
};

EventEmitter.prototype.removeListener = function removeListener(type, listener) {
  checkListener(listener);
  const events = this._events;
  const list = events?.[type];
  if (list === undefined) return this;
  if (list === listener || list.listener === listener) {
    this._eventsCount -= 1;
    if (this._eventsCount === 0) this._events = { __proto__: null };
    else delete events[type];
    if (events.removeListener) this.emit("removeListener", type, list.listener || listener);
    return this;
  }
  if (typeof list === "function") return this;
  const at = list.findLastIndex((each) => each === listener || each.listener === listener);
  if (at < 0) return this;
  if (at === 0) list.shift();
  else list.splice(at, 1);
  if (list.length === 1) events[type] = list[0];
  if (events.removeListener !== undefined) this.emit("removeListener", type, listener);
  return this;
};
EventEmitter.prototype.off = EventEmitter.prototype.removeListener;

EventEmitter.prototype.removeAllListeners = function removeAllListeners(type) {
  const events = this._events;
  if (events === undefined) return this;
  if (events.removeListener === undefined) {
    // Nobody wants to know.
    if (arguments.length === 0) {
      this._events = { __proto__: null };
      this._eventsCount = 0;
    } else if (events[type] !== undefined) {
      if (--this._eventsCount === 0) this._events = { __proto__: null };
      else delete events[type];
    }
    return this;
  }
  if (arguments.length === 0) {
    for (const key of Reflect.ownKeys(events)) {
      if (key !== "removeListener") this.removeAllListeners(key);
    }
    this.removeAllListeners("removeListener");
    this._events = { __proto__: null };
    this._eventsCount = 0;
    return this;
  }
  const listeners = events[type];
  if (typeof listeners === "function") this.removeListener(type, listeners);
  else if (listeners !== undefined) {
    for (let i = listeners.length - 1; i >= 0; i--) this.removeListener(type, listeners[i]);
  }
  return this;
};

function listenersOf(emitter, type, unwrap) {
  const handler = emitter._events?.[type];
  if (handler === undefined) return [];
  const list = typeof handler === "function" ? [handler] : [...handler];
  return unwrap ? list.map((each) => each.listener ?? each) : list;
}

EventEmitter.prototype.listeners = function listeners(type) {
  return listenersOf(this, type, true);
};

EventEmitter.prototype.rawListeners = function rawListeners(type) {
  return listenersOf(this, type, false);
};

function listenerCount(type, listener) {
  const handler = this._events?.[type];
  if (handler === undefined) return 0;
  const list = typeof handler === "function" ? [handler] : handler;
  if (listener == null) return list.length;
  return list.filter((each) => each === listener || each.listener === listener).length;
}
EventEmitter.prototype.listenerCount = listenerCount;

EventEmitter.prototype.eventNames = function eventNames() {
  return this._eventsCount > 0 ? Reflect.ownKeys(this._events) : [];
};

// What EventTarget has no place for: its limit of listeners.
const targetLimits = new WeakMap();

function isEmitter(value) {
  return typeof value?.on === "function" && typeof value?.removeListener === "function";
}

function isEventTarget(value) {
  return typeof value?.addEventListener === "function";
}

EventEmitter.setMaxListeners = function setMaxListeners(n = defaultMaxListeners, ...targets) {
  validateNumber(n, "setMaxListeners", 0);
  if (targets.length === 0) {
    defaultMaxListeners = n;
    return;
  }
  for (const target of targets) {
    if (typeof target?.setMaxListeners === "function") target.setMaxListeners(n);
    else if (target instanceof EventTarget) targetLimits.set(target, n);
    else throw new ERR_INVALID_ARG_TYPE("eventTargets", ["EventEmitter", "EventTarget"], target);
  }
};

EventEmitter.getMaxListeners = function getMaxListeners(target) {
  if (typeof target?.getMaxListeners === "function") return maxListenersOf(target);
  if (target instanceof EventTarget) {
    return targetLimits.get(target) ?? (target instanceof AbortSignal ? 0 : defaultMaxListeners);
  }
  throw new ERR_INVALID_ARG_TYPE("emitter", ["EventEmitter", "EventTarget"], target);
};

EventEmitter.getEventListeners = function getEventListeners(target, type) {
  if (typeof target?.listeners === "function") return target.listeners(type);
  if (target instanceof EventTarget) {
    return (target[eventTargetData]?.listeners[type] ?? []).map(({ callback }) => callback);
  }
  throw new ERR_INVALID_ARG_TYPE("emitter", ["EventEmitter", "EventTarget"], target);
};

EventEmitter.listenerCount = function (emitter, type) {
  if (typeof emitter.listenerCount === "function") return emitter.listenerCount(type);
  return Reflect.apply(listenerCount, emitter, [type]);
};
Object.defineProperty(EventEmitter.listenerCount, "name", { value: "listenerCount" });

function listen(target, name, listener, flags) {
  if (isEmitter(target)) {
    if (flags?.once) target.once(name, listener);
    else target.on(name, listener);
  } else if (isEventTarget(target)) {
    target.addEventListener(name, listener, flags);
  } else {
    throw new ERR_INVALID_ARG_TYPE("emitter", ["EventEmitter", "EventTarget"], target);
  }
}

function unlisten(target, name, listener, flags) {
  if (typeof target?.removeListener === "function") target.removeListener(name, listener);
  else if (typeof target?.removeEventListener === "function") target.removeEventListener(name, listener, flags);
  else throw new ERR_INVALID_ARG_TYPE("emitter", ["EventEmitter", "EventTarget"], target);
}

// A promise for the arguments of the next event.
EventEmitter.once = async function once(emitter, name, options = {}) {
  validateObject(options, "options");
  const { signal } = options;
  validateAbortSignal(signal, "options.signal");
  if (signal?.aborted) throw new AbortError(undefined, { cause: signal.reason });
  return await new Promise((resolve, reject) => {
    const onError = (error) => {
      unlisten(emitter, name, onEvent);
      if (signal != null) unlisten(signal, "abort", onAbort);
      reject(error);
    };
    const onEvent = (...args) => {
      if (typeof emitter.removeListener === "function") emitter.removeListener("error", onError);
      if (signal != null) unlisten(signal, "abort", onAbort);
      resolve(args);
    };
    function onAbort() {
      unlisten(emitter, name, onEvent);
      unlisten(emitter, "error", onError);
      reject(new AbortError(undefined, { cause: signal.reason }));
    }
    listen(emitter, name, onEvent, { once: true, [kResistStopImmediatePropagation]: true });
    if (name !== "error" && typeof emitter.once === "function") emitter.once("error", onError);
    if (signal != null) listen(signal, "abort", onAbort, { once: true, [kResistStopImmediatePropagation]: true });
  });
};

const AsyncIteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}).prototype);

// An asynchronous iterator of the events' arguments. Events wait in it until they are asked for; above highWaterMark the
// emitter is paused, if it can be, and resumed below lowWaterMark.
EventEmitter.on = function on(emitter, name, options = {}) {
  validateObject(options, "options");
  const { signal } = options;
  validateAbortSignal(signal, "options.signal");
  if (signal?.aborted) throw new AbortError(undefined, { cause: signal.reason });
  const high = options.highWaterMark ?? options.highWatermark ?? Number.MAX_SAFE_INTEGER;
  validateInteger(high, "options.highWaterMark", 1);
  const low = options.lowWaterMark ?? options.lowWatermark ?? 1;
  validateInteger(low, "options.lowWaterMark", 1);

  const waitingEvents = [];
  const waitingCalls = [];
  let paused = false;
  let failure = null;
  let finished = false;
  const undo = [];

  const subscribe = (target, type, listener, flags = undefined) => {
    listen(target, type, listener, flags);
    undo.push(() => unlisten(target, type, listener, flags));
  };

  const onEvent = (...args) => {
    if (waitingCalls.length > 0) {
      waitingCalls.shift().resolve({ value: args, done: false });
      return;
    }
    waitingEvents.push(args);
    if (!paused && waitingEvents.length > high && typeof emitter.pause === "function") {
      paused = true;
      emitter.pause();
    }
  };
  const onError = (error) => {
    if (waitingCalls.length === 0) failure = error;
    else waitingCalls.shift().reject(error);
    close();
  };
  const close = () => {
    for (const step of undo.splice(0)) step();
    finished = true;
    for (const call of waitingCalls.splice(0)) call.resolve({ value: undefined, done: true });
    return Promise.resolve({ value: undefined, done: true });
  };

  const iterator = Object.setPrototypeOf({
    next() {
      if (waitingEvents.length > 0) {
        const value = waitingEvents.shift();
        if (paused && waitingEvents.length < low) {
          paused = false;
          emitter.resume();
        }
        return Promise.resolve({ value, done: false });
      }
      if (failure !== null) {
        const rejection = Promise.reject(failure);
        failure = null;
        return rejection;
      }
      if (finished) return close();
      return new Promise((resolve, reject) => waitingCalls.push({ resolve, reject }));
    },
    return() {
      return close();
    },
    throw(error) {
      if (!error || !(error instanceof Error)) throw new ERR_INVALID_ARG_TYPE("EventEmitter.AsyncIterator", "Error", error);
      onError(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  }, AsyncIteratorPrototype);

  subscribe(emitter, name, onEvent);
  if (name !== "error" && typeof emitter.on === "function") subscribe(emitter, "error", onError);
  for (const type of options.close ?? []) subscribe(emitter, type, close);
  if (signal) {
    const onAbort = () => onError(new AbortError(undefined, { cause: signal.reason }));
    subscribe(signal, "abort", onAbort, { once: true, [kResistStopImmediatePropagation]: true });
  }
  return iterator;
};

// Calls listener once when signal aborts, whatever other listeners do with the event.
EventEmitter.addAbortListener = function addAbortListener(signal, listener) {
  if (signal === undefined) throw new ERR_INVALID_ARG_TYPE("signal", "AbortSignal", signal);
  validateAbortSignal(signal, "signal");
  validateFunction(listener, "listener");
  let remove;
  if (signal.aborted) queueMicrotask(() => listener());
  else {
    signal.addEventListener("abort", listener, { __proto__: null, once: true, [kResistStopImmediatePropagation]: true });
    remove = () => signal.removeEventListener("abort", listener);
  }
  return {
    __proto__: null,
    [Symbol.dispose]() {
      remove?.();
    },
  };
};

// An emitter whose listeners run in the context in which it was made.
let AsyncResourceEmitter;

function asyncResourceEmitter() {
  if (AsyncResourceEmitter !== undefined) return AsyncResourceEmitter;
  const { AsyncResource } = require("async_hooks");

  class EventEmitterReferencingAsyncResource extends AsyncResource {
    #emitter;

    constructor(emitter, type, options) {
      super(type, options);
      this.#emitter = emitter;
    }

    get eventEmitter() {
      return this.#emitter;
    }
  }

  AsyncResourceEmitter = class EventEmitterAsyncResource extends EventEmitter {
    #resource;

    constructor(options = undefined) {
      let name;
      if (typeof options === "string") {
        name = options;
        options = undefined;
      } else {
        if (new.target === AsyncResourceEmitter) validateString(options?.name, "options.name");
        name = options?.name || new.target.name;
      }
      super(options);
      this.#resource = new EventEmitterReferencingAsyncResource(this, name, options);
    }

    emit(event, ...args) {
      const resource = check(this);
      args.unshift(super.emit, this, event);
      return Reflect.apply(resource.runInAsyncScope, resource, args);
    }

    emitDestroy() {
      check(this).emitDestroy();
    }

    get asyncId() {
      return check(this).asyncId();
    }

    get triggerAsyncId() {
      return check(this).triggerAsyncId();
    }

    get asyncResource() {
      return check(this);
    }

    static resourceOf(emitter) {
      return #resource in emitter ? emitter.#resource : undefined;
    }
  };
  const { resourceOf } = AsyncResourceEmitter;
  delete AsyncResourceEmitter.resourceOf;
  function check(emitter) {
    const resource = resourceOf(emitter);
    if (resource === undefined) throw new codes.ERR_INVALID_THIS("EventEmitterAsyncResource");
    return resource;
  }
  return AsyncResourceEmitter;
}

Object.defineProperty(EventEmitter, "EventEmitterAsyncResource", {
  get: asyncResourceEmitter,
  set: undefined,
  enumerable: true,
  configurable: true,
});

EventEmitter.EventEmitter = EventEmitter;
EventEmitter.usingDomains = false;
EventEmitter.captureRejectionSymbol = captureRejectionSymbol;
EventEmitter.errorMonitor = errorMonitor;

module.exports = EventEmitter;
