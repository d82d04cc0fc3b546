// The Node.js modules of a worker with nodejs_compat: a registry that compiles each at its first use (crates/node).
(function () {
const { core } = __bootstrap;
const { op_load_ext_script, op_node_cache, op_node_compile } = core.ops;
const { op_crypto_job_start } = core.ops;
const { helped } = core.loadExtScript("ext:atoll_js/04_helpers.js");
const { env } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { enabled } = core.loadExtScript("ext:atoll_js/28_compat.js");
const { later } = core.loadExtScript("ext:atoll_js/02_later.js");
const context = core.loadExtScript("ext:atoll_js/00_context.js");

// What every module's function gets as `internal`.
const internal = {
  core,
  // The ops of all extensions; those that give work to another thread have it paid for.
  ops: Object.create(core.ops, {
    op_crypto_job_start: { value: (job) => helped(() => op_crypto_job_start(job)) },
  }),
  // The scripts of the extensions, e.g. load("ext:deno_web/06_streams.js").
  load: later,
  // The worker's bindings.
  env,
  // 00_context.js: currentEvent(), assertInHandler(), Frame, ...
  context,
  // As they were before a flag took them off the global scope.
  FinalizationRegistry,
  WeakRef,
  // Names of the compatibility flags that are on.
  flags: { has: enabled },
  // "YYYY-MM-DD".
  compatibilityDate: "",
};

// name without "node:" -> module object.
const loaded = new Map();

function bare(specifier) {
  return specifier.startsWith("node:") ? specifier.slice(5) : specifier;
}

function require(specifier) {
  const name = bare(`${specifier}`);
  const known = loaded.get(name);
  if (known !== undefined) return known.exports;
  if (loaded.size === 0) {
    try {
      // Any script will do: at the first one that is asked for, the ops of the snapshot get their fast calls.
      op_load_ext_script("ext:atoll_js/28_compat.js");
    } catch {
      // It is loaded already.
    }
  }
  const compiled = op_node_compile(name);
  if (compiled === undefined) {
    const error = new Error(`No such module "${specifier}".`);
    error.code = "MODULE_NOT_FOUND";
    throw error;
  }
  const module = { exports: {} };
  loaded.set(name, module);
  try {
    compiled.call(module.exports, module.exports, require, module, internal);
  } catch (error) {
    loaded.delete(name);
    throw error;
  }
  op_node_cache(name, compiled);
  return module.exports;
}

// What a worker may require or import.
function nodeModule(specifier) {
  const name = bare(`${specifier}`);
  if (name.startsWith("internal/")) throw new Error(`No such module "${specifier}".`);
  return require(name);
}

// A global that loads its module at first use and becomes a plain value then.
const lazy = (function lazy(name, get) {
  Object.defineProperty(globalThis, name, {
    get() {
      const value = get();
      Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
      return value;
    },
    set(value) {
      Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
    },
    enumerable: false,
    configurable: true,
  });
});

// Node's globals. Runs before the worker's modules.
const installNode = (function installNode(date) {
  internal.compatibilityDate = date;
  if (!enabled("nodejs_compat") || !enabled("nodejs_compat_v2")) return;
  Object.defineProperty(globalThis, "global", { value: globalThis, writable: true, enumerable: false, configurable: true });
  lazy("Buffer", () => require("buffer").Buffer);
  lazy("process", () => require("process"));
  lazy("setImmediate", () => require("timers").setImmediate);
  lazy("clearImmediate", () => require("timers").clearImmediate);
  // Timers are objects then; otherwise numbers.
  if (enabled("enable_nodejs_global_timers")) {
    for (const name of ["setTimeout", "clearTimeout", "setInterval", "clearInterval"]) {
      lazy(name, () => require("timers")[name]);
    }
  }
});

return { installNode, nodeModule };
})();
