// The bridge between the host and the worker's handlers. `globalThis.__atoll` holds it in the snapshot; the host takes it
// away before the worker's first line.
(function () {
const { core } = __bootstrap;
const {
  op_described,
  op_fail,
  op_report_exception,
  op_respond_bytes,
  op_respond_empty,
  op_respond_native,
  op_respond_stream,
  op_respond_text,
  op_respond_websocket,
  op_rpc_done,
  op_rpc_refuse,
  op_scheduled_done,
  op_tail_done,
  op_test_done,
} = core.ops;
const { setAsyncContext, getAsyncContext } = core;
const { PromiseRejectionEvent, ErrorEvent } = core.loadExtScript("ext:deno_web/02_event.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const performance = core.loadExtScript("ext:deno_web/15_performance.js");
const { Frame, leaveGlobalScope } = core.loadExtScript("ext:atoll_js/00_context.js");
const { headersToWire } = core.loadExtScript("ext:atoll_js/10_headers.js");
const { Body, BYTES, NATIVE, TEXT, USED } = core.loadExtScript("ext:atoll_js/12_body.js");
const { requestFromNative } = core.loadExtScript("ext:atoll_js/13_request.js");
const { isResponse, responseParts } = core.loadExtScript("ext:atoll_js/14_response.js");
const { Fetcher, pump } = core.loadExtScript("ext:atoll_js/15_fetch.js");
const { coupleWebSocket, isWebSocket, leaveWebSocket } = core.loadExtScript("ext:atoll_js/20_websocket.js");
const { KvNamespace } = core.loadExtScript("ext:atoll_js/21_kv.js");
const { installNode } = core.loadExtScript("ext:atoll_js/27_node.js");
const { applyCompat } = core.loadExtScript("ext:atoll_js/28_compat.js");
const { AnalyticsEngineDataset, Ratelimit, StoreSecret } = core.loadExtScript("ext:atoll_js/29_bindings.js");
const { limitBuffers } = core.loadExtScript("ext:atoll_js/04_buffer.js");
const { limitMemories } = core.loadExtScript("ext:atoll_js/04_wasm.js");
const { readLimits, enter } = core.loadExtScript("ext:atoll_js/03_account.js");
const { endsEvent, env, eventAccount, eventAnswered, eventOver, eventTold, expireEvent, exports, holdEvent, newEvent, passesThrough, releaseEvent, unbuiltBinding, WorkerEntrypoint } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { HandlerObject, serve } = core.loadExtScript("ext:atoll_js/30_rpc.js");
const { decodeProps, makeLoopback, serviceBinding } = core.loadExtScript("ext:atoll_js/32_service.js");
const { beginScript, scriptHandlers, takesException } = core.loadExtScript("ext:atoll_js/33_script.js");
const { beginOutbound, clonedBinding, loaderBinding } = core.loadExtScript("ext:atoll_js/35_loader.js");
const { lift: liftClock } = core.loadExtScript("ext:atoll_js/19_clock.js");
const { tailItems, traceEvent, traceException, traceResponse } = core.loadExtScript("ext:atoll_js/34_trace.js");
const { mirrorConsole } = core.loadExtScript("ext:atoll_js/37_inspect.js");
const { install, installLater } = core.loadExtScript("ext:atoll_js/90_global.js");
const { hideBrowsers, hideInternals, warmUpCrypto } = core.loadExtScript("ext:atoll_js/43_surface.js");

// Kinds of failure; src/ops/event.rs has the same numbers.
const EXCEPTION = 0;
const BAD_RESPONSE = 1;
const NO_HANDLER = 2;

// Methods that come as numbers; src/instance.rs has the same.
const METHODS = ["GET", "HEAD", "POST"];
// Flags of an answer; src/ops/event.rs has the same.
const MANUAL_ENCODING = 1;
const LAST = 2;

// The exports, once the modules have been evaluated: the default one, and all that can be an entrypoint by name.
let entry;
const entries = new Map();

// Functions that every start calls stand in parentheses, here and in other scripts: V8 compiles such with the script, so that
// the startup snapshot has them compiled.

// What is the same for every worker. Runs when an isolate is made, before it is known whose it will be.
const prepare = (function prepare(conformance) {
  if (conformance) liftClock();
  installLater(conformance);
  hideBrowsers(conformance);
  // The engine keeps this handler outside of the snapshot.
  core.setHandledPromiseRejectionHandler((promise, reason) => {
    globalThis.dispatchEvent(new PromiseRejectionEvent("rejectionhandled", { promise, reason }));
  });
  if (!conformance) {
    // V8 has them, the platform does not.
    delete WebAssembly.compileStreaming;
    delete WebAssembly.instantiateStreaming;
    // There are no threads to share one with, and two that did would have a fine clock.
    delete globalThis.SharedArrayBuffer;
    limitMemories();
    limitBuffers();
  }
  delete globalThis.Deno;
  delete globalThis.__bootstrap;
});

// bindings: [[name, kind, value, extra, more], ...]; date: "YYYY-MM-DD". Runs before the worker's modules.
const bootstrap = (function bootstrap(bindings, date) {
  for (const [name, kind, value, extra, more] of bindings) {
    let binding;
    switch (kind) {
      case "text":
        binding = value;
        break;
      case "json":
        binding = JSON.parse(value);
        break;
      case "kv":
        binding = new KvNamespace(value);
        break;
      case "service":
        binding = serviceBinding(value);
        break;
      case "loader":
        binding = loaderBinding(value);
        break;
      case "cloned":
        binding = clonedBinding(value, extra, more);
        break;
      case "fetcher":
        binding = new Fetcher(value);
        break;
      case "rate_limit":
        binding = new Ratelimit(value);
        break;
      case "analytics":
        binding = new AnalyticsEngineDataset(value);
        break;
      case "store_secret":
        binding = new StoreSecret(value, extra);
        break;
      default:
        binding = unbuiltBinding(name, value, extra);
    }
    Object.defineProperty(env, name, { value: binding, writable: true, enumerable: true, configurable: true });
  }
  beginOutbound();
  readLimits();
  applyCompat();
  installNode(date);
  performance.setTimeOrigin();
});

// namespace: the main module's exports.
const start = (function start(namespace) {
  entry = scriptHandlers() ?? namespace.default;
  const names = Object.keys(namespace).sort((a, b) => (b === "default") - (a === "default"));
  for (const name of names) {
    const value = namespace[name];
    if (value === null || (typeof value !== "object" && typeof value !== "function")) {
      throw new TypeError(`Incorrect type for map entry '${name}': the provided value is not of type 'function or ExportedHandler'.`);
    }
    if (typeof value === "function" && !isEntrypoint(value)) continue;
    entries.set(name, value);
    Object.defineProperty(exports, name, {
      value: makeLoopback(name === "default" ? null : name), writable: true, enumerable: true, configurable: true,
    });
  }
  leaveGlobalScope();
});

function isEntrypoint(value) {
  return value === WorkerEntrypoint || value.prototype instanceof WorkerEntrypoint;
}

// info: undefined for an event of the default entrypoint from outside that is not traced, or [name or null, props, depth, traced].
function contextOf(id, info) {
  return info === undefined ? newEvent(id, {}, 0) : newEvent(id, decodeProps(info[1]), info[2]);
}

function frameOf(ctx) {
  const account = eventAccount(ctx);
  enter(account);
  return new Frame(ctx, null, account);
}

function entryOf(info) {
  if (info === undefined || info[0] === null) return entry;
  const named = entries.get(info[0]);
  if (named === undefined) throw new NoEntrypoint(`Worker has no such entrypoint: ${info[0]}`);
  return named;
}

class NoEntrypoint extends Error {}

function handler(name, ctx, entry) {
  let target = entry;
  if (typeof entry === "function" && isEntrypoint(entry)) {
    target = new entry(ctx, env);
    if (typeof target[name] !== "function") return null;
    return (event) => target[name](event);
  }
  if (target === null || target === undefined || typeof target[name] !== "function") return null;
  return (event) => target[name](event, env, ctx);
}

// Runs in V8's call from the host: must not throw.
function dispatchFetch(id, source, method, url, hasBody, info) {
  const ctx = contextOf(id, info);
  const outer = getAsyncContext();
  setAsyncContext(frameOf(ctx));
  try {
    if (typeof method === "number") method = METHODS[method];
    const request = requestFromNative(source, method, url, hasBody ? Body.native(source) : null, id);
    traceEvent(ctx, info, () => ({
      request: { url: request.url, method: request.method, headers: Object.fromEntries(request.headers), cf: request.cf },
    }));
    let result;
    // The plain object is by far the most common: no closure for it.
    const target = entryOf(info);
    if (typeof target === "object" && target !== null && typeof target.fetch === "function") {
      result = target.fetch(request, env, ctx);
    } else {
      const fetch = handler("fetch", ctx, target);
      if (fetch === null) {
        fail(id, NO_HANDLER, new Error(noHandler("fetch")), ctx);
        return;
      }
      result = fetch(request);
    }
    if (isResponse(result)) {
      respondOrFail(id, result, ctx);
    } else {
      Promise.resolve(result).then(
        (response) => respondOrFail(id, response, ctx),
        (error) => fail(id, EXCEPTION, error, ctx),
      );
    }
  } catch (error) {
    fail(id, error instanceof NoEntrypoint ? NO_HANDLER : EXCEPTION, error, ctx);
  } finally {
    setAsyncContext(outer);
  }
}

function respondOrFail(id, response, ctx) {
  if (eventOver(ctx)) {
    releaseEvent(ctx);
    return;
  }
  try {
    respond(id, response, ctx);
    traceResponse(ctx, response.status);
    eventAnswered(ctx);
    releaseEvent(ctx);
  } catch (error) {
    fail(id, BAD_RESPONSE, error, ctx);
  }
}

function fail(id, kind, error, ctx) {
  traceException(error, true, ctx);
  if (!eventOver(ctx)) op_fail(id, kind, error, passesThrough(ctx));
  eventAnswered(ctx);
  releaseEvent(ctx);
}

function noHandler(name) {
  if (entry === undefined) {
    return `The worker's main module has no default export, so there is nothing to handle a ${name} event. Write: export default { ${name}() { ... } }`;
  }
  return `Handler does not export a ${name}() function.`;
}

// Most answers say no more of themselves than the last one did.
let lastType = "";
let lastWire = "";

function typeToWire(type) {
  if (type !== lastType) {
    lastWire = `content-type\0${type}`;
    lastType = type;
  }
  return lastWire;
}

function respond(id, response, ctx) {
  if (!isResponse(response)) {
    throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
  }
  const { status, statusText, headers, contentType, body, webSocket, manualEncoding } = responseParts(response);
  if (status === 0) throw new TypeError("Response.error() cannot be sent to a client.");
  const wire = headers !== null ? headersToWire(headers) : contentType !== null ? typeToWire(contentType) : "";
  if (webSocket !== null) {
    respondWebSocket(id, wire, webSocket, ctx);
    return;
  }
  const flags = manualEncoding ? MANUAL_ENCODING : 0;
  if (body === null) {
    const ends = endsEvent(ctx);
    op_respond_empty(id, status, statusText, wire, ends ? flags | LAST : flags);
    if (ends) eventTold(ctx);
    return;
  }
  if (body.isUnusable) throw new TypeError(USED);
  const { kind, value } = body.spend();
  if (kind === TEXT || kind === BYTES || kind === NATIVE) {
    const ends = endsEvent(ctx);
    const last = ends ? flags | LAST : flags;
    if (kind === TEXT) op_respond_text(id, status, statusText, wire, last, value);
    else if (kind === BYTES) op_respond_bytes(id, status, statusText, wire, last, value);
    else op_respond_native(id, status, statusText, wire, last, value);
    if (ends) eventTold(ctx);
  } else {
    const sender = op_respond_stream(id, status, statusText, wire, manualEncoding, body.length ?? -1);
    holdEvent(ctx);
    pump(value, sender).catch((error) => op_report_exception(error)).then(() => releaseEvent(ctx));
  }
}

function respondWebSocket(id, wire, webSocket, ctx) {
  if (!isWebSocket(webSocket)) throw new TypeError("The webSocket of a Response must be a WebSocket.");
  const native = leaveWebSocket(webSocket);
  const mine = op_respond_websocket(id, wire, native);
  if (mine !== null) {
    // The event lasts as long as the end that stays here.
    holdEvent(ctx);
    let held = true;
    const release = () => {
      if (held) releaseEvent(ctx);
      held = false;
    };
    const socket = coupleWebSocket(webSocket, mine);
    socket.addEventListener("close", release, { once: true });
    // A connection that a listener's exception ended has no close.
    socket.addEventListener("error", release, { once: true });
  }
}

function dispatchScheduled(id, cron, scheduledTime, info) {
  const ctx = contextOf(id, info);
  let noRetry = false;
  const controller = {
    scheduledTime,
    cron,
    type: "scheduled",
    noRetry() {
      noRetry = true;
    },
  };
  const outer = getAsyncContext();
  setAsyncContext(frameOf(ctx));
  try {
    traceEvent(ctx, info, () => ({ cron, scheduledTime }));
    const scheduled = handler("scheduled", ctx, entryOf(info));
    if (scheduled === null) {
      fail(id, NO_HANDLER, new Error(noHandler("scheduled")), ctx);
      return;
    }
    Promise.resolve(scheduled(controller)).then(
      () => {
        if (!eventOver(ctx)) op_scheduled_done(id, noRetry);
        eventAnswered(ctx);
        releaseEvent(ctx);
      },
      (error) => fail(id, EXCEPTION, error, ctx),
    );
  } catch (error) {
    fail(id, error instanceof NoEntrypoint ? NO_HANDLER : EXCEPTION, error, ctx);
  } finally {
    setAsyncContext(outer);
  }
}

// items: trace items of other workers' events, JSON.
function dispatchTail(id, items, info) {
  const ctx = contextOf(id, info);
  const outer = getAsyncContext();
  setAsyncContext(frameOf(ctx));
  try {
    const tail = handler("tail", ctx, entryOf(info));
    if (tail === null) {
      fail(id, NO_HANDLER, new Error(noHandler("tail")), ctx);
      return;
    }
    Promise.resolve(tail(tailItems(items))).then(
      () => {
        if (!eventOver(ctx)) op_tail_done(id);
        eventAnswered(ctx);
        releaseEvent(ctx);
      },
      (error) => {
        op_report_exception(error);
        fail(id, EXCEPTION, error, ctx);
      },
    );
  } catch (error) {
    op_report_exception(error);
    fail(id, error instanceof NoEntrypoint ? NO_HANDLER : EXCEPTION, error, ctx);
  } finally {
    setAsyncContext(outer);
  }
}

// The test handler of an entrypoint.
function dispatchTest(id, info) {
  const ctx = contextOf(id, info);
  const outer = getAsyncContext();
  setAsyncContext(new Frame(ctx, null));
  try {
    const test = handler("test", ctx, entryOf(info));
    if (test === null) {
      fail(id, NO_HANDLER, new Error(noHandler("test")), ctx);
      return;
    }
    Promise.resolve(test({})).then(
      () => {
        op_test_done(id);
        eventAnswered(ctx);
        releaseEvent(ctx);
      },
      (error) => fail(id, EXCEPTION, error, ctx),
    );
  } catch (error) {
    fail(id, error instanceof NoEntrypoint ? NO_HANDLER : EXCEPTION, error, ctx);
  } finally {
    setAsyncContext(outer);
  }
}

const HANDLERS = ["fetch", "scheduled", "queue", "email", "tail", "trace", "alarm", "test", "connect"];

// What there is to dispatch to. Looks at the exports and calls nothing of them but getters.
function describe(id) {
  const list = [];
  const add = (name, value) => {
    const holder = typeof value === "function" ? value.prototype : value;
    const handlers = HANDLERS.filter((handler) => typeof holder[handler] === "function");
    list.push({ name, handlers });
  };
  if (!entries.has("default") && entry !== null && entry !== undefined) add("default", entry);
  for (const [name, value] of entries) add(name, value);
  op_described(id, JSON.stringify(list));
}

// A session of calls: one instance of the entrypoint answers all of them.
function dispatchRpc(id, link, info) {
  const ctx = contextOf(id, info);
  const outer = getAsyncContext();
  setAsyncContext(frameOf(ctx));
  try {
    traceEvent(ctx, info, () => ({ rpcMethod: "" }));
    const entry = entryOf(info);
    if (entry === undefined || entry === null) throw new NoEntrypoint("The worker's main module has no default export.");
    const target = typeof entry === "function" ? new entry(ctx, env) : new HandlerObject(entry, env, ctx);
    serve(link, ctx, target, () => {
      if (!eventOver(ctx)) op_rpc_done(id);
      eventAnswered(ctx);
      releaseEvent(ctx);
    });
  } catch (error) {
    if (error instanceof NoEntrypoint) op_rpc_refuse(id, error.message);
    else if (!eventOver(ctx)) op_fail(id, EXCEPTION, error, false);
    eventAnswered(ctx);
    releaseEvent(ctx);
  } finally {
    setAsyncContext(outer);
  }
}

// Two plain requests, while the startup snapshot is made: V8 keeps in it what it compiled for them.
function warmUp(first, second) {
  entry = {
    fetch(request) {
      return new Response(new URL(request.url).pathname);
    },
  };
  dispatchFetch(first, undefined, "GET", "http://localhost/", false, undefined);
  entry = {
    async fetch(request) {
      return Response.json({ method: request.method }, { status: 200, headers: { "x-a": "b" } });
    },
  };
  dispatchFetch(second, undefined, "GET", "http://localhost/", false, undefined);
  entry = undefined;
  // Every start calls these, and they are not ours to put in parentheses.
  core.getCloneableDeserializers();
  core.setHandledPromiseRejectionHandler(null);
  performance.setTimeOrigin();
  warmUpCrypto();
  hideInternals();
}

core.setReportExceptionCallback((error) => {
  const event = new ErrorEvent("error", { cancelable: true, error, message: `${error?.message ?? error}` });
  if (globalThis.dispatchEvent(event)) {
    traceException(error);
    op_report_exception(error);
  }
});
core.setUnhandledPromiseRejectionHandler((promise, reason) => {
  const event = new PromiseRejectionEvent("unhandledrejection", { cancelable: true, promise, reason });
  if (globalThis.dispatchEvent(event)) {
    traceException(reason);
    op_report_exception(reason);
  }
  return true;
});
// What an event's listener throws is told, and no more: the other listeners and the request go on.
core.reportUnhandledException = (error) => {
  if (!takesException(error)) op_report_exception(error);
};

// Ops name the DOMException they throw: "DOMException" and its name.
for (
  const name of [
    "AbortError", "DataCloneError", "DataError", "EncodingError", "IndexSizeError", "InvalidAccessError", "InvalidCharacterError",
    "InvalidStateError", "NetworkError", "NotAllowedError", "NotFoundError", "NotReadableError", "NotSupportedError",
    "OperationError", "QuotaExceededError", "SyntaxError", "TimeoutError", "TypeMismatchError",
  ]
) {
  core.registerErrorBuilder(`DOMException${name}`, (message) => new DOMException(message, name));
}

install();
Object.defineProperty(globalThis, "__atoll", {
  value: {
    beginScript, bootstrap, describe, dispatchFetch, dispatchRpc, dispatchScheduled, dispatchTail, dispatchTest, expireEvent, mirrorConsole, prepare, start, warmUp,
  },
  configurable: true,
});
})();
