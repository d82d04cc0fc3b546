// The module "cloudflare:workers": env and waitUntil for code that has no handler's arguments at hand, and the classes
// that a worker's entrypoints extend.
(function () {
const { core } = __bootstrap;
const { op_event_background, op_event_over, op_fail, op_isolate_abort, op_report_exception, op_rpc_park } = core.ops;
const { AsyncLocalStorage, currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");
const { Account } = core.loadExtScript("ext:atoll_js/03_account.js");
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { tracing } = core.loadExtScript("ext:atoll_js/44_tracing.js");

// One object each for the life of the isolate; env is filled before the worker's first line runs, exports after its last.
const env = {};
const exports = {};

// The env and exports of the module "cloudflare:workers": those of the isolate, or what withEnv and withExports put in their
// places for a while.
function swappable(own) {
  const storage = new AsyncLocalStorage();
  const current = () => storage.getStore() ?? own;
  const handler = {};
  for (const trap of ["get", "set", "has", "deleteProperty", "ownKeys", "getOwnPropertyDescriptor", "defineProperty"]) {
    handler[trap] = (_target, ...args) => {
      if (trap === "get" || trap === "set") args.pop();
      return Reflect[trap](current(), ...args);
    };
  }
  return { storage, proxy: new Proxy(own, handler) };
}

const { storage: envStorage, proxy: currentEnv } = swappable(env);
const { storage: exportsStorage, proxy: currentExports } = swappable(exports);

function checkCallback(callback, method, place) {
  if (typeof callback !== "function") {
    throw new TypeError(`Failed to execute '${method}' on 'EnvModule': parameter ${place} is not of type 'function'.`);
  }
}

function withEnv(newEnv, callback) {
  checkCallback(callback, "withEnv", 2);
  return envStorage.run(newEnv, callback);
}

function withExports(newExports, callback) {
  checkCallback(callback, "withExports", 2);
  return exportsStorage.run(newExports, callback);
}

function withEnvAndExports(newEnv, newExports, callback) {
  checkCallback(callback, "withEnvAndExports", 3);
  return envStorage.run(newEnv, () => exportsStorage.run(newExports, callback));
}

// Who traces events is told of what is thrown in waitUntil.
let onWaitError = null;

function setWaitHook(hook) {
  onWaitError = hook;
}

const ILLEGAL = Symbol("illegal constructor");
// Kind of failure; src/ops/event.rs has the same number.
const EXCEPTION = 0;

// The newest of the events that are not over; each knows its neighbours. They are looked up hardly ever: a Map would be changed,
// shrunk and made anew for every event.
let newest = null;

// The third argument of a handler. The event lasts until its handler is done, its response's stream has been read and what
// was given to waitUntil is settled; each of these holds it.
class ExecutionContext {
  #holders = 1;
  #ends = [];
  #passThrough = false;
  #depth;
  // While it is owed an answer, its id; null after.
  #id;
  // Calls to other workers that have no answer yet.
  #asking = 0;
  // Calls of the caller that run, where the event is an RPC session; otherwise null.
  #serving = null;
  #parked = false;
  #account;
  // Only waitUntil holds it, and the host was told.
  #inBackground = false;
  // The host was told that it is over.
  #told = false;
  #newer = null;
  #older = newest;

  constructor(key, props, depth, id) {
    if (key !== ILLEGAL) throw new TypeError("Illegal constructor");
    this.#account = new Account(id);
    this.props = props;
    this.exports = exports;
    this.#depth = depth;
    this.#id = id;
    if (newest !== null) newest.#newer = this;
    newest = this;
  }

  // What is taken off its object (const { waitUntil } = ctx) has lost its event.
  static #checked(ctx) {
    if (ctx !== null && typeof ctx === "object" && #account in ctx) return;
    throw new TypeError(
      "Illegal invocation: function called with incorrect `this` reference. See " +
        "https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.",
    );
  }

  get tracing() {
    return tracing;
  }

  waitUntil(promise) {
    ExecutionContext.#checked(this);
    if (arguments.length === 0) {
      throw new TypeError("Failed to execute 'waitUntil' on 'ExecutionContext': parameter 1 is not of type 'Promise'.");
    }
    this.#account.admitWait();
    this.#holders++;
    Promise.resolve(promise).then(
      () => this.#waited(),
      (error) => {
        onWaitError?.(error, this);
        op_report_exception(error);
        this.#waited();
      },
    );
  }

  #waited() {
    this.#account.waits--;
    releaseEvent(this);
  }

  // Answers the event at once. What it has begun is told by an exception, and may catch that; nothing it answers counts.
  abort(reason = undefined) {
    ExecutionContext.#checked(this);
    const error = reason ?? new Error("Worker execution was aborted due to call to ctx.abort().");
    endEvent(this, error);
    throw error;
  }

  static end(ctx, error) {
    if (ctx.#id === null) return;
    op_fail(ctx.#id, EXCEPTION, error, false);
    ctx.#id = null;
  }

  // Whether it has been answered.
  static over(ctx) {
    return ctx.#id === null;
  }

  static hold(ctx) {
    ctx.#holders++;
  }

  static release(ctx) {
    if (--ctx.#holders === 0) {
      ctx.#end();
    } else if (ctx.#holders === ctx.#account.waits && ctx.#id === null && !ctx.#inBackground) {
      ctx.#inBackground = true;
      op_event_background(ctx.#account.id);
    }
  }

  #end() {
    const ends = this.#ends;
    if (ends === null) return;
    this.#ends = null;
    const newer = this.#newer;
    const older = this.#older;
    if (newer === null) newest = older;
    else newer.#older = older;
    if (older !== null) older.#newer = newer;
    this.#newer = this.#older = null;
    for (const end of ends) end();
    if (!this.#told) op_event_over(this.#account.id);
  }

  // Whether it is over with its answer, which is about to be given: that can tell the host of both.
  static endsWithAnswer(ctx) {
    return ctx.#holders === 1 && ctx.#ends !== null && ctx.#ends.length === 0;
  }

  // It did.
  static told(ctx) {
    ctx.#told = true;
  }

  // Its time is up: what it began is ended, and nothing waits for it any more.
  static expire(id) {
    let ctx = newest;
    while (ctx !== null && ctx.#account.id !== id) ctx = ctx.#older;
    if (ctx === null) return;
    ctx.#id = null;
    ctx.#account.end();
    ctx.#end();
  }

  static account(ctx) {
    return ctx.#account;
  }

  static answered(ctx) {
    ctx.#id = null;
  }

  static asking(ctx, change) {
    ctx.#asking += change;
    ctx.#park();
  }

  static serving(ctx, calls) {
    ctx.#serving = calls;
    ctx.#park();
  }

  // An event that waits for another worker may do so although nothing else is left to run here.
  #park() {
    const parked = this.#asking > 0 || this.#serving === 0;
    if (this.#id === null || parked === this.#parked) return;
    this.#parked = parked;
    op_rpc_park(this.#id, parked);
  }

  // Calls back when the event is over. What begins later (in a timer that nobody waited for) is not bound by it.
  static onEnd(ctx, callback) {
    ctx.#ends?.push(callback);
  }

  static depth(ctx) {
    return ctx === null ? 0 : ctx.#depth;
  }

  passThroughOnException() {
    ExecutionContext.#checked(this);
    this.#passThrough = true;
  }

  static passesThrough(ctx) {
    return ctx.#passThrough;
  }
}

const {
  account: eventAccount, answered: eventAnswered, asking: eventAsking, depth: eventDepth, end: endEvent, expire: expireEvent, hold: holdEvent, onEnd: onEventEnd,
  endsWithAnswer: endsEvent, over: eventOver, passesThrough, release: releaseEvent, serving: eventServing, told: eventTold,
} = ExecutionContext;
for (const name of ["account", "expire", "answered", "asking", "depth", "end", "endsWithAnswer", "hold", "onEnd", "over", "passesThrough", "release", "serving", "told"]) {
  delete ExecutionContext[name];
}

webidl.configureInterface(ExecutionContext);

// Ends the isolate: whatever runs in it is answered with an exception, and the next event finds a new one.
function abortIsolate(reason = undefined) {
  op_isolate_abort(reason === undefined ? "" : `${reason}`.toWellFormed());
}

// Ends the event that runs, if one does.
function endCurrentEvent(error) {
  const ctx = currentEvent();
  if (ctx !== null) endEvent(ctx, error);
}

function newEvent(id, props, depth) {
  return new ExecutionContext(ILLEGAL, props, depth, id);
}

function waitUntil(promise) {
  const ctx = currentEvent();
  if (ctx === null) throw new Error("waitUntil() can only be called while a handler runs: no event is being handled here.");
  ctx.waitUntil(promise);
}

class WorkerEntrypoint {
  constructor(ctx, env) {
    if (ctx === null || typeof ctx !== "object") {
      throw new TypeError("Failed to construct 'WorkerEntrypoint': constructor parameter 1 is not of type 'Object'.");
    }
    this.ctx = ctx;
    this.env = env;
  }
}

function later(name, what) {
  return class {
    constructor() {
      throw new Error(`${name} is not available: ${what} are not part of this version of Atoll yet.`);
    }
  };
}

class RpcTarget {}
Object.defineProperty(RpcTarget.prototype, Symbol.toStringTag, { value: "JsRpcTarget", configurable: true });

const DurableObject = later("DurableObject", "durable objects");
const WorkflowEntrypoint = later("WorkflowEntrypoint", "workflows");
Object.defineProperty(DurableObject, "name", { value: "DurableObject" });
Object.defineProperty(WorkflowEntrypoint, "name", { value: "WorkflowEntrypoint" });

// Each use of a binding whose part of the platform is not built throws and names it. Looking at it (logging, awaiting) does
// not.
function unbuiltBinding(name, kind, target) {
  const complain = () => {
    throw new Error(
      `The binding "${name}" is a ${kind}${target === "" ? "" : ` (${target})`}, which this version of Atoll does not run yet. ` +
        `The worker may be configured with it, but cannot use it.`,
    );
  };
  return new Proxy(function () {}, {
    get(_target, key) {
      if (typeof key === "symbol" || key === "then" || key === "toJSON" || key === "constructor" || key === "prototype") return undefined;
      return complain();
    },
    apply: complain,
    construct: complain,
    set: complain,
  });
}

return {
  abortIsolate,
  endCurrentEvent,
  endsEvent,
  eventOver,
  currentEnv,
  currentExports,
  DurableObject,
  env,
  eventAccount,
  eventAnswered,
  eventAsking,
  eventDepth,
  eventServing,
  eventTold,
  ExecutionContext,
  expireEvent,
  exports,
  holdEvent,
  newEvent,
  onEventEnd,
  passesThrough,
  releaseEvent,
  setWaitHook,
  RpcTarget,
  unbuiltBinding,
  waitUntil,
  withEnv,
  withEnvAndExports,
  withExports,
  WorkerEntrypoint,
  WorkflowEntrypoint,
};
})();
