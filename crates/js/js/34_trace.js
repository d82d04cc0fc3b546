// What an event did, gathered while it lasts, for workers that are told of it: the platform's TraceItem. Nothing is gathered
// unless somebody wants it, which the host says with each event.
(function () {
const { core } = __bootstrap;
const { op_event_cpu, op_trace, op_trace_begin, op_trace_name } = core.ops;
const { currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");
const { eventAccount, onEventEnd, setWaitHook } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { setTracer } = core.loadExtScript("ext:atoll_js/30_rpc.js");
const { setPrintHook } = core.loadExtScript("ext:atoll_js/22_console.js");

// Characters of what one event prints; what is over is left out, and the item says so.
const LOG_CHARACTERS_MAX = 256 * 1024;
const LEVELS = ["debug", "log", "info", "warn", "error"];

// The worker's name, once an event was traced; null before.
let scriptName = null;
// ExecutionContext -> its item.
const items = new WeakMap();

// Before the first event that is traced. The hooks stay: they look for an item, which an event that is not traced has not.
function beginTracing() {
  scriptName = op_trace_name();
  setPrintHook(traceLog);
  setWaitHook((error, ctx) => traceException(error, false, ctx));
  setTracer({
    onCall(method, ctx) {
      const item = items.get(ctx);
      if (item !== undefined && item.event.rpcMethod === "") item.event.rpcMethod = method;
    },
    onException(error, ctx) {
      traceException(error, true, ctx);
    },
  });
}

// info: as the bridge is given it, with whether the event is traced. describe(): what the event is.
function traceEvent(ctx, info, describe) {
  if (info === undefined || info[3] !== true) return;
  if (scriptName === null) beginTracing();
  const started = Date.now();
  const item = {
    scriptName,
    entrypoint: info[0] ?? undefined,
    event: describe(),
    eventTimestamp: started,
    logs: [],
    exceptions: [],
    diagnosticsChannelEvents: [],
    outcome: "ok",
    executionModel: "stateless",
    truncated: false,
    size: 0,
  };
  items.set(ctx, item);
  const { id } = eventAccount(ctx);
  // If the isolate ends before the event does, the host tells this much.
  op_trace_begin(id, JSON.stringify({ ...item, size: undefined }));
  onEventEnd(ctx, () => {
    const { size: _, ...shown } = item;
    op_trace(JSON.stringify({ ...shown, cpuTime: Math.round(op_event_cpu(id)), wallTime: Date.now() - started }));
  });
}

function current() {
  if (scriptName === null) return undefined;
  const event = currentEvent();
  return event === null ? undefined : items.get(event);
}

function traceLog(level, args, text) {
  const item = current();
  if (item === undefined) return;
  item.size += text.length;
  if (item.size > LOG_CHARACTERS_MAX) {
    item.truncated = true;
    return;
  }
  const message = args.map((value) => {
    if (value === null || ["string", "number", "boolean"].includes(typeof value)) return value;
    try {
      return JSON.parse(JSON.stringify(value)) ?? null;
    } catch {
      return String(value);
    }
  });
  item.logs.push({ message, level: LEVELS[level], timestamp: Date.now() });
}

// Lines of a stack that are this engine's own.
const PLATFORM_FRAMES = /\n +at [^\n]*\(?ext:[^\n]*/g;

// An exception of an event (the current one unless given); failed: it is why the event has no other outcome.
function traceException(error, failed = false, ctx = undefined) {
  const item = ctx === undefined ? current() : items.get(ctx);
  if (item === undefined) return;
  if (failed) item.outcome = "exception";
  const isError = error !== null && typeof error === "object";
  item.exceptions.push({
    name: isError ? `${error.name}` : "Error",
    message: isError ? `${error.message}` : String(error),
    stack: isError && typeof error.stack === "string" ? error.stack.replace(PLATFORM_FRAMES, "") : undefined,
    timestamp: Date.now(),
  });
}

function traceResponse(ctx, status) {
  const item = scriptName === null ? undefined : items.get(ctx);
  if (item !== undefined) item.event.response = { status };
}

const SENSITIVE = /^(?:authorization|cookie|set-cookie)$|auth|key|secret|token|jwt/;

// The items as a tail handler is given them: what may be secret of a request is shown by getUnredacted() alone.
function tailItems(text) {
  const list = JSON.parse(text);
  for (const { event } of list) {
    const { request } = event;
    if (request === undefined) continue;
    const full = { ...request };
    request.headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, SENSITIVE.test(name) ? "REDACTED" : value]),
    );
    Object.defineProperty(request, "getUnredacted", { value: () => full });
  }
  return list;
}

return { tailItems, traceEvent, traceException, traceResponse };
})();
