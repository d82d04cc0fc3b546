// readable-stream, which is Node's streams as a library, over this crate's own events, buffers, errors and process.

const { Library } = require("internal/vendored");

const kEmptyObject = Object.freeze({ __proto__: null });

const validators = () => {
  const own = require("internal/validators");
  return {
    ...own,
    // Node's code calls it only where a buffer was checked for.
    validateBuffer: own.validateBuffer,
  };
};

function once(callback) {
  let called = false;
  return function (...args) {
    if (called) return;
    called = true;
    Reflect.apply(callback, this, args);
  };
}

function createDeferredPromise() {
  const { promise, resolve, reject } = Promise.withResolvers();
  return { promise, resolve, reject };
}

function addAbortListener(signal, listener) {
  const { codes: { ERR_INVALID_ARG_TYPE } } = require("internal/errors");
  const { validateAbortSignal, validateFunction } = require("internal/validators");
  if (signal === undefined) throw new ERR_INVALID_ARG_TYPE("signal", "AbortSignal", signal);
  validateAbortSignal(signal, "signal");
  validateFunction(listener, "listener");
  let remove;
  if (signal.aborted) queueMicrotask(() => listener());
  else {
    signal.addEventListener("abort", listener, { once: true });
    remove = () => signal.removeEventListener("abort", listener);
  }
  return {
    __proto__: null,
    [Symbol.dispose]() {
      remove?.();
    },
  };
}

const AsyncFunction = (async () => {}).constructor;

let util;
function ours() {
  util ??= {
    AbortSignalAny: (signals) => AbortSignal.any(signals),
    addAbortListener,
    AggregateError,
    createDeferredPromise,
    debuglog: () => () => {},
    deprecate: (fn, message, code) => require("util").deprecate(fn, message, code),
    isBlob: (value) => value instanceof Blob,
    kEmptyObject,
    get inspect() {
      return require("internal/inspect").inspect;
    },
    once,
    promisify: Object.assign((fn) => require("util").promisify(fn), { custom: Symbol.for("nodejs.util.promisify.custom") }),
    types: {
      isArrayBufferView: ArrayBuffer.isView,
      isAsyncFunction: (fn) => fn instanceof AsyncFunction,
    },
  };
  return util;
}

// Streams need nextTick and nothing else of it.
const process = {
  nextTick: (...args) => require("internal/next_tick").nextTick(...args),
  get stdout() {
    return require("process").stdout;
  },
  get stderr() {
    return require("process").stderr;
  },
};

const library = new Library("readable-stream", {
  "abort-controller": () => ({ AbortController, AbortSignal }),
  "buffer": () => require("buffer"),
  "events": () => require("events"),
  "lib/internal/validators": validators,
  "lib/ours/errors": () => require("internal/streams/errors"),
  "lib/ours/util": ours,
  "process/": () => process,
  "string_decoder/": () => require("string_decoder"),
});

module.exports = { load: (path) => library.load(path) };
