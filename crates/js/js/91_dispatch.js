// The bridge between the host and the worker's handlers. `globalThis.__atoll` holds it in the snapshot; the host takes it
// away before the worker's first line.
(function () {
const { core } = __bootstrap;
const {
  op_fail,
  op_report_exception,
  op_respond_bytes,
  op_respond_empty,
  op_respond_native,
  op_respond_stream,
  op_respond_text,
  op_respond_websocket,
  op_scheduled_done,
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
const { env, ExecutionContext, passesThrough, unbuiltBinding, WorkerEntrypoint } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { installNode } = core.loadExtScript("ext:atoll_js/27_node.js");
const { applyCompat } = core.loadExtScript("ext:atoll_js/28_compat.js");
const { AnalyticsEngineDataset, Ratelimit, StoreSecret } = core.loadExtScript("ext:atoll_js/29_bindings.js");
const { install } = core.loadExtScript("ext:atoll_js/90_global.js");

// Kinds of failure; src/ops/event.rs has the same numbers.
const EXCEPTION = 0;
const BAD_RESPONSE = 1;
const NO_HANDLER = 2;

// The default export, once the modules have been evaluated.
let entry;

// bindings: [[name, kind, value, extra], ...]; date: "YYYY-MM-DD". Runs before the worker's modules.
function bootstrap(bindings, date) {
  for (const [name, kind, value, extra] of bindings) {
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
  applyCompat();
  installNode(date);
  performance.setTimeOrigin();
  delete globalThis.Deno;
  delete globalThis.__bootstrap;
}

// namespace: the main module's exports.
function start(namespace) {
  entry = namespace.default;
  leaveGlobalScope();
}

function handler(name, ctx) {
  let target = entry;
  if (typeof entry === "function" && (entry === WorkerEntrypoint || entry.prototype instanceof WorkerEntrypoint)) {
    target = new entry(ctx, env);
    if (typeof target[name] !== "function") return null;
    return (event) => target[name](event);
  }
  if (target === null || target === undefined || typeof target[name] !== "function") return null;
  return (event) => target[name](event, env, ctx);
}

// Runs in V8's call from the host: must not throw.
function dispatchFetch(id, source, method, url, hasBody) {
  const ctx = new ExecutionContext();
  const outer = getAsyncContext();
  setAsyncContext(new Frame(ctx, null));
  try {
    const request = requestFromNative(source, method, url, hasBody ? Body.native(source) : null);
    let result;
    // The plain object is by far the most common: no closure for it.
    if (typeof entry === "object" && entry !== null && typeof entry.fetch === "function") {
      result = entry.fetch(request, env, ctx);
    } else {
      const fetch = handler("fetch", ctx);
      if (fetch === null) {
        op_fail(id, NO_HANDLER, new Error(noHandler("fetch")), false);
        return;
      }
      result = fetch(request);
    }
    if (isResponse(result)) {
      respondOrFail(id, result, ctx);
    } else {
      Promise.resolve(result).then(
        (response) => respondOrFail(id, response, ctx),
        (error) => op_fail(id, EXCEPTION, error, passesThrough(ctx)),
      );
    }
  } catch (error) {
    op_fail(id, EXCEPTION, error, passesThrough(ctx));
  } finally {
    setAsyncContext(outer);
  }
}

function respondOrFail(id, response, ctx) {
  try {
    respond(id, response);
  } catch (error) {
    op_fail(id, BAD_RESPONSE, error, passesThrough(ctx));
  }
}

function noHandler(name) {
  if (entry === undefined) {
    return `The worker's main module has no default export, so there is nothing to handle a ${name} event. Write: export default { ${name}() { ... } }`;
  }
  return `Handler does not export a ${name}() function.`;
}

function respond(id, response) {
  if (!isResponse(response)) {
    throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
  }
  const { status, statusText, headers, contentType, body, webSocket, manualEncoding } = responseParts(response);
  if (status === 0) throw new TypeError("Response.error() cannot be sent to a client.");
  const wire = headers !== null ? headersToWire(headers) : contentType !== null ? `content-type\0${contentType}` : "";
  if (webSocket !== null) {
    respondWebSocket(id, wire, webSocket);
    return;
  }
  if (body === null) {
    op_respond_empty(id, status, statusText, wire, manualEncoding);
    return;
  }
  if (body.isUnusable) throw new TypeError(USED);
  const { kind, value } = body;
  body.used = true;
  if (kind === TEXT) op_respond_text(id, status, statusText, wire, manualEncoding, value);
  else if (kind === BYTES) op_respond_bytes(id, status, statusText, wire, manualEncoding, value);
  else if (kind === NATIVE) op_respond_native(id, status, statusText, wire, manualEncoding, value);
  else {
    const sender = op_respond_stream(id, status, statusText, wire, manualEncoding, body.length ?? -1);
    pump(value, sender).catch((error) => op_report_exception(error));
  }
}

function respondWebSocket(id, wire, webSocket) {
  if (!isWebSocket(webSocket)) throw new TypeError("The webSocket of a Response must be a WebSocket.");
  const native = leaveWebSocket(webSocket);
  const mine = op_respond_websocket(id, wire, native);
  if (mine !== null) coupleWebSocket(webSocket, mine);
}

function dispatchScheduled(id, cron, scheduledTime) {
  const ctx = new ExecutionContext();
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
  setAsyncContext(new Frame(ctx, null));
  try {
    const scheduled = handler("scheduled", ctx);
    if (scheduled === null) {
      op_fail(id, NO_HANDLER, new Error(noHandler("scheduled")), false);
      return;
    }
    Promise.resolve(scheduled(controller)).then(
      () => op_scheduled_done(id, noRetry),
      (error) => op_fail(id, EXCEPTION, error, false),
    );
  } catch (error) {
    op_fail(id, EXCEPTION, error, false);
  } finally {
    setAsyncContext(outer);
  }
}

core.setReportExceptionCallback((error) => {
  const event = new ErrorEvent("error", { cancelable: true, error, message: `${error?.message ?? error}` });
  if (globalThis.dispatchEvent(event)) op_report_exception(error);
});
core.setUnhandledPromiseRejectionHandler((promise, reason) => {
  const event = new PromiseRejectionEvent("unhandledrejection", { cancelable: true, promise, reason });
  if (globalThis.dispatchEvent(event)) op_report_exception(reason);
  return true;
});
// What an event's listener throws is told, and no more: the other listeners and the request go on.
core.reportUnhandledException = (error) => op_report_exception(error);

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
  value: { bootstrap, dispatchFetch, dispatchScheduled, start },
  configurable: true,
});
})();
