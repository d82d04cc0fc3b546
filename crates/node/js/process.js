// exports: abort, addListener, allowedNodeEnvironmentFlags, arch, argv, argv0, assert, availableMemory, binding, chdir, config
// exports: constrainedMemory, cpuUsage, cwd, debugPort, dlopen, emit, emitWarning, env, execArgv, execPath, exit, exitCode, features
// exports: finalization, getActiveResourcesInfo, getBuiltinModule, getegid, geteuid, getgid, getgroups, getuid, hrtime, kill
// exports: hasUncaughtExceptionCaptureCallback, listenerCount, loadEnvFile, memoryUsage, nextTick, noDeprecation, off, on, once
// exports: permission, pid, platform, ppid, ref, release, report, resourceUsage, setUncaughtExceptionCaptureCallback
// exports: removeAllListeners, removeListener
// exports: _events, _eventsCount, _exiting, _maxListeners, channel, connected, domain, execve, initgroups, moduleLoadList, openStdin
// exports: _debugEnd, _debugProcess, _fatalException, _getActiveHandles, _getActiveRequests, _kill, _linkedBinding, _rawDebug
// exports: _startProfilerIdleNotifier, _stopProfilerIdleNotifier, _tickCallback, getSourceMapsSupport, setSourceMapsEnabled
// exports: reallyExit, send, setegid, seteuid, setgid, setgroups, setuid, threadCpuUsage
// exports: sourceMapsEnabled, stderr, stdin, stdout, throwDeprecation, title, traceDeprecation, umask, unref, uptime, version, versions
//
// The process object. There is no process: what describes one has the values that a worker sees on the platform, and what
// would change one throws.

const { codes: { ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_METHOD_NOT_IMPLEMENTED, ERR_OUT_OF_RANGE } } = require(
  "internal/errors",
);
const { validateBoolean, validateFunction, validateString, validateUint32 } = require("internal/validators");
const EventEmitter = require("events");
const hooks = require("internal/async_hooks");
const { nextTick } = require("internal/next_tick");

// The level of Node.js that the platform reports.
const VERSION = "22.23.4";

const process = Object.create(EventEmitter.prototype);
module.exports = process;

function notImplemented(name) {
  const method = {
    [name]() {
      throw new ERR_METHOD_NOT_IMPLEMENTED(`process.${name}`);
    },
  };
  return method[name];
}

// ---- environment

const variables = {};

// Text variables as they are, JSON as its text. Other bindings are no environment.
function populate() {
  const { flags, env } = internal;
  if (!flags.has("nodejs_compat_populate_process_env")) return;
  for (const [name, value] of Object.entries(env)) {
    if (typeof value === "string") variables[name] = value;
    else if (isPlain(value)) variables[name] = JSON.stringify(value);
  }
}

function isPlain(value) {
  if (value === null || typeof value === "number" || typeof value === "boolean") return true;
  if (Array.isArray(value)) return true;
  return typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
}

populate();

const env = new Proxy(variables, {
  set(target, name, value) {
    if (typeof name === "symbol") throw new TypeError("Cannot convert a symbol value to a string");
    target[name] = `${value}`;
    return true;
  },
  defineProperty(target, name, descriptor) {
    if (typeof name === "symbol") throw new TypeError("Cannot convert a symbol value to a string");
    if ("value" in descriptor) {
      for (const attribute of ["configurable", "writable", "enumerable"]) {
        if (!descriptor[attribute]) {
          throw new ERR_INVALID_ARG_VALUE(`descriptor.${attribute}`, descriptor, `process.env value must be ${attribute}.`);
        }
      }
      return Reflect.defineProperty(target, name, { ...descriptor, value: `${descriptor.value}` });
    }
    throw new ERR_INVALID_ARG_VALUE("descriptor", descriptor, "process.env value must have only a value.");
  },
});

// ---- time

function hrtime(time = undefined) {
  const now = performance.timeOrigin + performance.now();
  let seconds = Math.floor(now / 1000);
  let nanoseconds = Math.floor((now % 1000) * 1e6);
  if (time !== undefined) {
    if (!Array.isArray(time)) throw new ERR_INVALID_ARG_TYPE("time", "Array", time);
    if (time.length !== 2) throw new ERR_OUT_OF_RANGE("time", 2, time.length);
    seconds -= time[0];
    nanoseconds -= time[1];
    if (nanoseconds < 0) {
      seconds--;
      nanoseconds += 1e9;
    }
  }
  return [seconds, nanoseconds];
}

hrtime.bigint = function bigint() {
  const [seconds, nanoseconds] = hrtime();
  return BigInt(seconds) * 1000000000n + BigInt(nanoseconds);
};

function uptime() {
  return performance.now() / 1000;
}

// ---- warnings



function emitWarning(warning, type = undefined, code = undefined, ctor = undefined) {
  let detail;
  if (type !== null && typeof type === "object" && !Array.isArray(type)) {
    ({ ctor, code, detail } = type);
    if (typeof detail !== "string") detail = undefined;
    type = type.type || "Warning";
  } else if (typeof type === "function") {
    ctor = type;
    code = "";
    type = "Warning";
  }
  if (type !== undefined) validateString(type, "type");
  if (typeof code === "function") {
    ctor = code;
    code = "";
  } else if (code !== undefined) validateString(code, "code");
  if (typeof warning === "string") {
    const limit = Error.stackTraceLimit;
    const message = warning;
    warning = new Error(message);
    Error.stackTraceLimit = limit;
    warning.name = `${type || "Warning"}`;
    if (code !== undefined) warning.code = code;
    if (detail !== undefined) warning.detail = detail;
    Error.captureStackTrace(warning, ctor || process.emitWarning);
  } else if (!(warning instanceof Error)) {
    throw new ERR_INVALID_ARG_TYPE("warning", ["Error", "string"], warning);
  }
  if (warning.name === "DeprecationWarning") {
    if (process.noDeprecation) return;
    if (process.throwDeprecation) {
      nextTick(() => {
        throw warning;
      });
      return;
    }
  }
  nextTick(() => process.emit("warning", warning));
}

// ---- folders

// What exists of the virtual file system's folders before anybody makes one.
const FOLDERS = new Set(["/", "/bundle", "/tmp", "/dev"]);
let folder = "/bundle";

function cwd() {
  return folder;
}

function chdir(directory) {
  validateString(directory, "directory");
  const target = require("path").resolve(folder, directory);
  if (!FOLDERS.has(target)) {
    const error = new Error(`ENOENT: no such file or directory, chdir ${folder} -> '${directory}'`);
    throw Object.assign(error, { errno: -2, code: "ENOENT", syscall: "chdir", path: folder, dest: directory });
  }
  folder = target;
}

function umask(mask = undefined) {
  if (mask !== undefined) {
    if (typeof mask === "string") {
      if (!/^[0-7]+$/.test(mask)) {
        throw new ERR_INVALID_ARG_VALUE("mask", mask, "must be a 32-bit unsigned integer or an octal string");
      }
      mask = Number.parseInt(mask, 8);
    }
    validateUint32(mask, "mask");
  }
  return 0o22;
}

// ---- the end

function exit(code = undefined) {
  if (code !== undefined) process.exitCode = code;
  const told = Number(process.exitCode ?? 0);
  if (!process._exiting) {
    process._exiting = true;
    try {
      process.emit("exit", told);
    } finally {
      process._exiting = false;
    }
  }
  process.reallyExit(told);
}

// Answers the event; the exception ends what runs, unless it is caught, and then nothing that is answered counts.
function cancel(message) {
  const error = new Error(message);
  internal.load("ext:atoll_js/23_workers.js").endCurrentEvent(error);
  throw error;
}

function reallyExit(code) {
  cancel(`The Node.js process.exit(${code}) API was called. Canceling the request.`);
}

function abort() {
  cancel("The Node.js process.abort() API was called. Canceling the request.");
}

let exitCode;
function checkExitCode(code) {
  if (code === null || code === undefined) return;
  const value = typeof code === "string" && code !== "" ? Number(code) : code;
  if (typeof value !== "number") throw new ERR_INVALID_ARG_TYPE("code", "integer", code);
  if (!Number.isInteger(value)) throw new ERR_OUT_OF_RANGE("code", "an integer", code);
}

// ---- exceptions and rejections: the listeners of process come before the log

let capture = null;

function setUncaughtExceptionCaptureCallback(callback) {
  if (callback === null) {
    capture = null;
    return;
  }
  if (typeof callback !== "function") {
    throw new ERR_INVALID_ARG_TYPE("fn", ["Function", "null"], callback);
  }
  if (capture !== null) {
    const error = new Error(
      "`process.setupUncaughtExceptionCapture()` was called while a capture callback was already active",
    );
    error.code = "ERR_UNCAUGHT_EXCEPTION_CAPTURE_ALREADY_SET";
    throw error;
  }
  capture = callback;
  watch("uncaughtException");
}

// Event of process -> the global event it listens to, once somebody asks for it.
const watching = new Set();

function onError(event) {
  const { error } = event;
  hooks.clearStack();
  if (event.defaultPrevented) return;
  if (capture !== null) {
    event.preventDefault();
    capture(error);
    return;
  }
  process.emit("uncaughtExceptionMonitor", error, "uncaughtException");
  if (process.emit("uncaughtException", error, "uncaughtException")) event.preventDefault();
}

function onRejection(event) {
  if (event.defaultPrevented) return;
  if (process.emit("unhandledRejection", event.reason, event.promise)) {
    event.preventDefault();
    return;
  }
  process.emit("uncaughtExceptionMonitor", event.reason, "unhandledRejection");
  if (process.emit("uncaughtException", event.reason, "unhandledRejection")) event.preventDefault();
}

function onHandled(event) {
  process.emit("rejectionHandled", event.promise);
}

function watch(name) {
  const listen = (type, listener) => {
    if (watching.has(type)) return;
    watching.add(type);
    globalThis.addEventListener(type, listener);
  };
  if (name === "uncaughtException" || name === "uncaughtExceptionMonitor") {
    listen("error", onError);
    listen("unhandledrejection", onRejection);
  } else if (name === "unhandledRejection") listen("unhandledrejection", onRejection);
  else if (name === "rejectionHandled") listen("rejectionhandled", onHandled);
}

// ---- text to the log

const { op_log } = internal.ops;
const { currentAccount } = internal.load("ext:atoll_js/03_account.js");
const LOG = 1;
const ERROR = 4;

// Chunks end anywhere; the log has whole lines. What is still open at the end of a turn is written then.
function lines(level) {
  const decoder = new TextDecoder();
  let open = "";
  let scheduled = false;
  const flush = () => {
    scheduled = false;
    if (open !== "") op_log(level, open, currentAccount().id);
    open = "";
  };
  return (bytes) => {
    open += decoder.decode(bytes, { stream: true });
    const end = open.lastIndexOf("\n");
    if (end !== -1) {
      op_log(level, open.slice(0, end), currentAccount().id);
      open = open.slice(end + 1);
    }
    if (open !== "" && !scheduled) {
      scheduled = true;
      queueMicrotask(flush);
    }
  };
}

function output(fd, level) {
  const { Writable } = require("stream");
  const print = lines(level);
  const stream = new Writable({
    decodeStrings: true,
    write(chunk, _encoding, callback) {
      print(chunk);
      callback();
    },
  });
  stream.fd = fd;
  stream._type = "fs";
  stream._isStdio = true;
  stream.destroySoon = stream.destroy;
  // Whoever ends it does not end it for the others.
  stream._destroy = (error, callback) => callback(error);
  return stream;
}

function input() {
  const { Readable } = require("stream");
  const stream = new Readable({
    read() {
      this.push(null);
    },
  });
  stream.fd = 0;
  return stream;
}

function lazy(name, make) {
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get() {
      const value = make();
      Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => value });
      return value;
    },
  });
}

// ---- the object

function memoryUsage() {
  const { heapTotal, heapUsed, external, physicalTotal } = internal.ops.op_memory_usage();
  return { rss: physicalTotal, heapTotal, heapUsed, external, arrayBuffers: 0 };
}
memoryUsage.rss = () => memoryUsage().rss;



const id = (name) => {
  const method = {
    [name]() {
      return 0;
    },
  };
  return method[name];
};

Object.assign(process, {
  version: `v${VERSION}`,
  versions: Object.freeze({
    node: VERSION,
    v8: "",
    modules: "",
    zlib: "",
    brotli: "",
    zstd: "",
    ares: "",
    napi: "",
    llhttp: "",
    nghttp2: "",
    acorn: "",
    ada: "",
    simdutf: "",
    nbytes: "",
    ncrypto: "",
    uvwasi: "",
    uv: "",
    openssl: "",
    sqlite: "",
    icu: "",
    undici: "",
    simdjson: "",
    unicode: "",
  }),
  title: "workerd",
  argv: ["workerd"],
  argv0: "workerd",
  execArgv: [],
  execPath: "",
  arch: "x64",
  platform: "linux",
  pid: 1,
  ppid: 0,
  release: Object.freeze({ name: "node", lts: true, sourceUrl: "", headersUrl: "" }),
  config: Object.freeze({ target_defaults: Object.freeze({}), variables: Object.freeze({}) }),
  features: Object.freeze({
    inspector: false,
    debug: false,
    uv: true,
    ipv6: true,
    openssl_is_boringssl: true,
    tls_alpn: true,
    tls_sni: true,
    tls_ocsp: true,
    tls: true,
    cached_builtins: true,
    require_module: false,
    typescript: false,
  }),
  env,
  nextTick,
  hrtime,
  uptime,
  emitWarning,
  cwd,
  chdir,
  umask,
  exit,
  reallyExit,
  abort,
  memoryUsage,
  assert: (value, message) => require("assert").ok(value, message),
  getBuiltinModule(name) {
    validateString(name, "id");
    const { isBuiltin } = require("module");
    return isBuiltin(name) ? require("internal/builtin").load(name) : undefined;
  },
  getuid: id("getuid"),
  getgid: id("getgid"),
  geteuid: id("geteuid"),
  getegid: id("getegid"),
  getgroups: () => [0],
  constrainedMemory: id("constrainedMemory"),
  availableMemory: id("availableMemory"),
  getActiveResourcesInfo: () => [],
  ref(object) {
    const fn = object?.[Symbol.for("nodejs.ref")] ?? object?.[Symbol.for("node:ref")] ?? object?.ref;
    if (typeof fn === "function") Reflect.apply(fn, object, []);
  },
  unref(object) {
    const fn = object?.[Symbol.for("nodejs.unref")] ?? object?.[Symbol.for("node:unref")] ?? object?.unref;
    if (typeof fn === "function") Reflect.apply(fn, object, []);
  },
  resourceUsage: () => ({
    userCPUTime: 0,
    systemCPUTime: 0,
    maxRSS: 0,
    sharedMemorySize: 0,
    unsharedDataSize: 0,
    unsharedStackSize: 0,
    minorPageFault: 0,
    majorPageFault: 0,
    swappedOut: 0,
    fsRead: 0,
    fsWrite: 0,
    ipcSent: 0,
    ipcReceived: 0,
    signalsCount: 0,
    voluntaryContextSwitches: 0,
    involuntaryContextSwitches: 0,
  }),
  setUncaughtExceptionCaptureCallback,
  hasUncaughtExceptionCaptureCallback: () => capture !== null,
  allowedNodeEnvironmentFlags: new Set(),
  debugPort: 0,
  noDeprecation: false,
  throwDeprecation: false,
  traceDeprecation: false,
  sourceMapsEnabled: false,
  finalization: {
    register(_object, callback) {
      validateFunction(callback, "fn");
    },
    registerBeforeExit(_object, callback) {
      validateFunction(callback, "fn");
    },
    unregister() {},
  },
  permission: { has: notImplemented("permission.has") },
  report: {
    compact: false,
    directory: "",
    filename: "",
    getReport: notImplemented("report.getReport"),
    reportOnFatalError: false,
    reportOnSignal: false,
    reportOnUncaughtException: false,
    excludeNetwork: false,
    excludeEnv: false,
    signal: "SIGUSR2",
    writeReport: notImplemented("report.writeReport"),
  },
  domain: null,
  channel: null,
  connected: false,
  moduleLoadList: [],
  _exiting: false,
  _events: undefined,
  _eventsCount: 0,
  _maxListeners: undefined,
});

for (
  const name of [
    "binding",
    "cpuUsage",
    "dlopen",
    "execve",
    "initgroups",
    "kill",
    "openStdin",
    "send",
    "setegid",
    "seteuid",
    "setgid",
    "setgroups",
    "setuid",
    "threadCpuUsage",
  ]
) process[name] = notImplemented(name);

for (
  const name of ["_debugEnd", "_debugProcess", "_fatalException", "_kill", "_linkedBinding", "_startProfilerIdleNotifier", "_stopProfilerIdleNotifier"]
) process[name] = notImplemented(name);

process._getActiveHandles = () => [];
process._getActiveRequests = () => [];
// Past console: straight to the worker's log, which is one.
process._rawDebug = (...args) => console.error(require("util").format(...args));
process._tickCallback = () => {};
// Stacks are in the developer's sources in any case.
process.setSourceMapsEnabled = function setSourceMapsEnabled(value) {
  validateBoolean(value, "value");
};
process.getSourceMapsSupport = () => Object.freeze({ __proto__: null, enabled: false, nodeModules: false, generatedCode: false });

process.loadEnvFile = function loadEnvFile(path = undefined) {
  const text = require("fs").readFileSync(path ?? ".env", "utf8");
  for (const [name, value] of Object.entries(require("util").parseEnv(text))) {
    if (!(name in variables)) variables[name] = value;
  }
};

Object.defineProperty(process, "exitCode", {
  configurable: true,
  enumerable: true,
  get: () => exitCode,
  set(code) {
    checkExitCode(code);
    exitCode = code;
  },
});

lazy("stdin", input);
lazy("stdout", () => output(1, LOG));
lazy("stderr", () => output(2, ERROR));

Object.defineProperty(process, Symbol.toStringTag, { value: "process", configurable: true });

Reflect.apply(EventEmitter, process, []);
process.on("newListener", watch);
