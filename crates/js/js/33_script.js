// The older form of a worker: a script without exports, which listens to events of the global scope and finds its bindings
// there. Its events are given to it as an object of handlers, which 91_dispatch.js calls as any other.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { Event, EventTarget, setIsTrusted } = core.loadExtScript("ext:deno_web/02_event.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { env } = core.loadExtScript("ext:atoll_js/23_workers.js");

const KEY = Symbol("event");

class ExtendableEvent extends Event {
  #ctx;

  constructor(type, key, ctx) {
    if (key !== KEY) throw new TypeError("Illegal constructor");
    super(type);
    this.#ctx = ctx;
  }

  waitUntil(promise) {
    this.#ctx.waitUntil(promise);
  }

  static context(event) {
    return event.#ctx;
  }
}

const { context } = ExtendableEvent;
delete ExtendableEvent.context;

class FetchEvent extends ExtendableEvent {
  #request;
  #response = null;
  #late = false;

  constructor(type, key, ctx, request) {
    super(type, key, ctx);
    this.#request = request;
  }

  get request() {
    return this.#request;
  }

  respondWith(response) {
    if (this.#response !== null) {
      throw new DOMException("FetchEvent.respondWith() has already been called; it can only be called once.", "InvalidStateError");
    }
    if (this.#late) {
      throw new DOMException(
        "Too late to call FetchEvent.respondWith(). It must be called synchronously in the event handler.",
        "InvalidStateError",
      );
    }
    this.stopImmediatePropagation();
    this.#response = Promise.resolve(response);
  }

  passThroughOnException() {
    context(this).passThroughOnException();
  }

  // The listeners are through: what they gave, or null.
  static settle(event) {
    event.#late = true;
    return event.#response;
  }
}

const { settle } = FetchEvent;
delete FetchEvent.settle;

class ScheduledEvent extends ExtendableEvent {
  #controller;

  constructor(type, key, ctx, controller) {
    super(type, key, ctx);
    this.#controller = controller;
  }

  get scheduledTime() {
    return this.#controller.scheduledTime;
  }

  get cron() {
    return this.#controller.cron;
  }

  noRetry() {
    this.#controller.noRetry();
  }
}

class TailEvent extends ExtendableEvent {
  #events;

  constructor(type, key, ctx, events) {
    super(type, key, ctx);
    this.#events = events;
  }

  get events() {
    return this.#events;
  }

  get traces() {
    return this.#events;
  }
}

// The older name of the same.
class TraceEvent extends ExtendableEvent {
  constructor() {
    throw new TypeError("Illegal constructor");
  }
}

for (const Class of [ExtendableEvent, FetchEvent, ScheduledEvent, TailEvent, TraceEvent]) webidl.configureInterface(Class);

let isScript = false;
// Types of events that were listened to at start-up.
const listened = new Set();
// What listeners throw while an event of ours is dispatched; null otherwise.
let thrown = null;

// Puts the bindings into the global scope. Before the script's first line.
function beginScript() {
  isScript = true;
  for (const name of Object.keys(env)) {
    Object.defineProperty(globalThis, name, { value: env[name], writable: true, enumerable: true, configurable: true });
  }
  const add = EventTarget.prototype.addEventListener;
  Object.defineProperty(globalThis, "addEventListener", {
    value: function addEventListener(type, listener, options = undefined) {
      if (listener !== null && listener !== undefined) listened.add(`${type}`);
      return add.call(this ?? globalThis, type, listener, options);
    },
    writable: true,
    enumerable: false,
    configurable: true,
  });
}

function dispatch(event) {
  const outer = thrown;
  const errors = [];
  thrown = errors;
  try {
    setIsTrusted?.(event, true);
    globalThis.dispatchEvent(event);
  } finally {
    thrown = outer;
  }
  return errors;
}

const handlers = {
  fetch(request, _env, ctx) {
    const event = new FetchEvent("fetch", KEY, ctx, request);
    const errors = dispatch(event);
    const response = settle(event);
    if (response !== null) return response;
    if (errors.length !== 0) throw errors[0];
    throw new Error(
      "No fetch listener called event.respondWith(). The request would go on to the origin, and there is none behind this worker.",
    );
  },
  scheduled(controller, _env, ctx) {
    const errors = dispatch(new ScheduledEvent("scheduled", KEY, ctx, controller));
    if (errors.length !== 0) throw errors[0];
  },
  tail(events, _env, ctx) {
    const errors = dispatch(new TailEvent("tail", KEY, ctx, events));
    if (errors.length !== 0) throw errors[0];
  },
};

// The handlers of the events that the script listens to; null for a worker of modules.
const scriptHandlers = (function scriptHandlers() {
  if (!isScript) return null;
  const entry = {};
  for (const name of Object.keys(handlers)) {
    if (listened.has(name)) entry[name] = handlers[name];
  }
  if (listened.size === 0) throw new Error("No event handlers were registered. This script does nothing.");
  return entry;
});

// True if the exception belongs to an event that is being dispatched here.
function takesException(error) {
  if (thrown === null) return false;
  thrown.push(error);
  return true;
}

return {
  beginScript, ExtendableEvent, FetchEvent, ScheduledEvent, scriptHandlers, TailEvent, takesException, TraceEvent,
};
})();
