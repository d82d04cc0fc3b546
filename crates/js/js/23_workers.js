// The module "cloudflare:workers": env and waitUntil for code that has no handler's arguments at hand, and the classes
// that a worker's entrypoints extend.
(function () {
const { core } = __bootstrap;
const { op_report_exception } = core.ops;
const { currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");

// One object for the life of the isolate; filled before the worker's first line runs.
const env = {};

// The third argument of a handler.
class ExecutionContext {
  #pending = 0;
  #passThrough = false;
  props = {};

  waitUntil(promise) {
    this.#pending++;
    Promise.resolve(promise).then(
      () => {
        this.#pending--;
      },
      (error) => {
        this.#pending--;
        op_report_exception(error);
      },
    );
  }

  passThroughOnException() {
    this.#passThrough = true;
  }

  static passesThrough(ctx) {
    return ctx.#passThrough;
  }
}

const { passesThrough } = ExecutionContext;
delete ExecutionContext.passesThrough;

function waitUntil(promise) {
  const ctx = currentEvent();
  if (ctx === null) throw new Error("waitUntil() can only be called while a handler runs: no event is being handled here.");
  ctx.waitUntil(promise);
}

class WorkerEntrypoint {
  constructor(ctx, env) {
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
  DurableObject,
  env,
  ExecutionContext,
  passesThrough,
  RpcTarget,
  unbuiltBinding,
  waitUntil,
  WorkerEntrypoint,
  WorkflowEntrypoint,
};
})();
