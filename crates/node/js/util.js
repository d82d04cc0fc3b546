// exports: TextDecoder, TextEncoder, MIMEParams, MIMEType, _errnoException, _exceptionWithHostPort, _extend, aborted, callbackify
// exports: convertProcessSignalToExitCode, setTraceSigInt
// exports: debug, debuglog, deprecate, diff, format, formatWithOptions, getCallSite, getCallSites, getSystemErrorMap
// exports: getSystemErrorMessage, getSystemErrorName, inherits, inspect, isArray, isBoolean, isBuffer, isDate, isDeepStrictEqual
// exports: isError, isFunction, isNull, isNullOrUndefined, isNumber, isObject, isPrimitive, isRegExp, isString, isSymbol
// exports: isUndefined, log, parseArgs, parseEnv, promisify, stripVTControlCharacters, styleText, toUSVString
// exports: transferableAbortController, transferableAbortSignal, types

const { codes } = require("internal/errors");
const { ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE } = codes;
const { deprecate } = require("internal/deprecate");
const { isDeepStrictEqual } = require("internal/comparisons");
const { format, formatWithOptions, inspect, stripVTControlCharacters } = require("internal/inspect");
const { MIMEParams, MIMEType } = require("internal/mime");
const { parseArgs } = require("internal/parse_args");
const { parseEnv } = require("internal/parse_env");
const { callbackify, promisify } = require("internal/promisify");
const { systemErrorMap } = require("internal/system_errors");
const {
  validateAbortSignal, validateBoolean, validateFunction, validateInteger, validateNumber, validateObject, validateOneOf, validateString,
} = require("internal/validators");
const types = require("util/types");

// What a shell says of a process that a signal ended.
const SIGNAL_EXIT = 128;

function convertProcessSignalToExitCode(signalCode) {
  const { signals } = require("os").constants;
  validateOneOf(signalCode, "signalCode", Object.keys(signals));
  return SIGNAL_EXIT + signals[signalCode];
}

function inherits(ctor, superCtor) {
  if (ctor === undefined || ctor === null) throw new ERR_INVALID_ARG_TYPE("ctor", "Function", ctor);
  if (superCtor === undefined || superCtor === null) throw new ERR_INVALID_ARG_TYPE("superCtor", "Function", superCtor);
  if (superCtor.prototype === undefined) throw new ERR_INVALID_ARG_TYPE("superCtor.prototype", "Object", superCtor.prototype);
  Object.defineProperty(ctor, "super_", { value: superCtor, writable: true, configurable: true, enumerable: false });
  Object.setPrototypeOf(ctor.prototype, superCtor.prototype);
}

function _extend(target, source) {
  if (source === null || typeof source !== "object") return target;
  return Object.assign(target, source);
}

// NODE_DEBUG's sections, as patterns.
let debugPattern;

function debugEnabled(section) {
  if (debugPattern === undefined) {
    const names = globalThis.process?.env?.NODE_DEBUG;
    if (typeof names !== "string" || names === "") debugPattern = null;
    else {
      const escaped = names.replace(/[|\\{}()[\]^$+?.]/g, "\\$&").replaceAll("*", ".*").replaceAll(",", "$|^");
      debugPattern = new RegExp(`^${escaped}$`, "i");
    }
  }
  return debugPattern !== null && debugPattern.test(section);
}

// Prints to the console if NODE_DEBUG names the section.
function debuglog(section, callback) {
  section = `${section}`.toUpperCase();
  let enabled;
  let logger = (...args) => {
    enabled ??= debugEnabled(section);
    if (enabled) {
      const shown = (...parts) => console.error(`${section} ${globalThis.process?.pid ?? 1}: ${format(...parts)}`);
      logger = shown;
    } else logger = () => {};
    if (typeof callback === "function") callback(logger);
    logger(...args);
  };
  const log = (...args) => logger(...args);
  Object.defineProperty(log, "enabled", {
    get() {
      return enabled ??= debugEnabled(section);
    },
    configurable: true,
    enumerable: true,
  });
  return log;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function log(...args) {
  const now = new Date();
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map((part) => `${part}`.padStart(2, "0")).join(":");
  console.log(`${now.getDate()} ${MONTHS[now.getMonth()]} ${time} - ${format(...args)}`);
}

function getSystemErrorName(number) {
  validateNumber(number, "err");
  if (number >= 0 || !Number.isSafeInteger(number)) throw new ERR_OUT_OF_RANGE("err", "a negative integer", number);
  return systemErrorMap().get(number)?.[0] ?? `Unknown system error ${number}`;
}

function getSystemErrorMessage(number) {
  validateNumber(number, "err");
  if (number >= 0 || !Number.isSafeInteger(number)) throw new ERR_OUT_OF_RANGE("err", "a negative integer", number);
  return systemErrorMap().get(number)?.[1] ?? `Unknown system error ${number}`;
}

function _errnoException(number, syscall, original) {
  const code = getSystemErrorName(number);
  const error = new Error(original ? `${syscall} ${code} ${original}` : `${syscall} ${code}`);
  return Object.assign(error, { errno: number, code, syscall });
}

function _exceptionWithHostPort(number, syscall, address, port, additional) {
  const code = getSystemErrorName(number);
  const where = port && port > 0 ? ` ${address}:${port}` : address ? ` ${address}` : "";
  const error = new Error(`${syscall} ${code}${where}${additional ? ` - Local (${additional})` : ""}`);
  Object.assign(error, { errno: number, code, syscall, address });
  if (port) error.port = port;
  return error;
}

// Whether a stream shows colors; what is no terminal does not.
function showsColors(stream) {
  const { env } = globalThis.process ?? {};
  if (env?.FORCE_COLOR !== undefined) return !["0", "false"].includes(env.FORCE_COLOR);
  if (!stream?.isTTY) return false;
  return typeof stream.getColorDepth === "function" ? stream.getColorDepth() > 2 : true;
}

function styleText(style, text, { validateStream = true, stream = globalThis.process?.stdout } = {}) {
  validateString(text, "text");
  validateBoolean(validateStream, "options.validateStream");
  let skip = false;
  if (validateStream) {
    const known = stream instanceof ReadableStream || stream instanceof WritableStream ||
      (typeof stream === "object" && stream !== null && (typeof stream.write === "function" || typeof stream.pipe === "function"));
    if (!known) throw new ERR_INVALID_ARG_TYPE("stream", ["ReadableStream", "WritableStream", "Stream"], stream);
    skip = !showsColors(stream);
  }
  const styles = Array.isArray(style) ? style : [style];
  let open = "";
  let close = "";
  for (const name of styles) {
    if (name === "none" && Array.isArray(style) === false) continue;
    const codes_ = typeof name === "string" ? inspect.colors[name] : undefined;
    if (codes_ === undefined) validateOneOf(name, "format", Object.keys(inspect.colors));
    open += `\u001b[${codes_[0]}m`;
    close = `\u001b[${codes_[1]}m${close}`;
  }
  return skip ? text : `${open}${text}${close}`;
}

function toUSVString(value) {
  return `${value}`.toWellFormed();
}

// A promise for the abortion of a signal; it does not keep resource from being collected, and never resolves once it was.
async function aborted(signal, resource) {
  if (signal === undefined) throw new ERR_INVALID_ARG_TYPE("signal", "AbortSignal", signal);
  validateAbortSignal(signal, "signal");
  if (!(signal instanceof AbortSignal)) throw new ERR_INVALID_ARG_TYPE("signal", "AbortSignal", signal);
  validateObject(resource, "resource", 4 | 2);
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers();
  const weak = new WeakRef(resource);
  signal.addEventListener("abort", () => {
    if (weak.deref() !== undefined) resolve();
  }, { once: true });
  await promise;
}

function transferableAbortSignal(signal) {
  if (!(signal instanceof AbortSignal)) throw new ERR_INVALID_ARG_TYPE("signal", "AbortSignal", signal);
  return signal;
}

function transferableAbortController() {
  return new AbortController();
}

function getCallSites(frameCount = 8, options = undefined) {
  if (typeof frameCount === "object" && frameCount !== null && options === undefined) {
    options = frameCount;
    frameCount = 8;
  }
  if (options !== undefined) validateObject(options, "options");
  validateInteger(frameCount, "frameCount", 1, 200);
  const { prepareStackTrace, stackTraceLimit } = Error;
  const holder = {};
  Error.stackTraceLimit = frameCount;
  Error.prepareStackTrace = (_error, sites) => sites;
  try {
    Error.captureStackTrace(holder, getCallSites);
    return (Array.isArray(holder.stack) ? holder.stack : []).map((site) => ({
      functionName: site.getFunctionName() ?? "",
      scriptId: `${site.getScriptHash?.() ?? ""}`,
      scriptName: site.getFileName() ?? "",
      lineNumber: site.getLineNumber() ?? 0,
      columnNumber: site.getColumnNumber() ?? 0,
      column: site.getColumnNumber() ?? 0,
    }));
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

// The edits that make expected of actual: [-1 | 0 | 1, item], the shortest list of them (Myers).
function diff(actual, expected) {
  if (actual === expected) return [];
  if (typeof actual !== "string" && !Array.isArray(actual)) throw new ERR_INVALID_ARG_TYPE("actual", ["string", "Array"], actual);
  if (typeof expected !== "string" && !Array.isArray(expected)) throw new ERR_INVALID_ARG_TYPE("expected", ["string", "Array"], expected);
  for (const [name, list] of [["actual", actual], ["expected", expected]]) {
    if (Array.isArray(list)) list.forEach((item, i) => validateString(item, `${name}[${i}]`));
  }
  const [a, b] = [actual, expected];
  const reach = new Map([[1, 0]]);
  const history = [];
  const down = (k, d) => k === -d || (k !== d && reach.get(k - 1) < reach.get(k + 1));
  search: for (let d = 0; d <= a.length + b.length; d++) {
    history.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      let x = down(k, d) ? reach.get(k + 1) : reach.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      reach.set(k, x);
      if (x >= a.length && x - k >= b.length) break search;
    }
  }
  const edits = [];
  let x = a.length;
  let y = b.length;
  for (let d = history.length - 1; d >= 0; d--) {
    const before = history[d];
    const k = x - y;
    const wentDown = k === -d || (k !== d && before.get(k - 1) < before.get(k + 1));
    const from = wentDown ? k + 1 : k - 1;
    const fromX = before.get(from);
    const fromY = fromX - from;
    while (x > fromX && y > fromY && x > 0 && y > 0) {
      edits.push([0, b[--y]]);
      x--;
    }
    if (d > 0) edits.push(wentDown ? [1, b[--y]] : [-1, a[--x]]);
  }
  return edits.reverse().map(([kind, item]) => [-kind + 0, item]);
}

// Old questions. They are discouraged, and answered without a warning.
const oldFunctions = {
  isBoolean: (value) => typeof value === "boolean",
  isBuffer: (value) => Buffer.isBuffer(value),
  isDate: types.isDate,
  isError: (value) => types.isNativeError(value) || value instanceof Error,
  isFunction: (value) => typeof value === "function",
  isNull: (value) => value === null,
  isNullOrUndefined: (value) => value === null || value === undefined,
  isNumber: (value) => typeof value === "number",
  isObject: (value) => value !== null && typeof value === "object",
  isPrimitive: (value) => value === null || (typeof value !== "object" && typeof value !== "function"),
  isRegExp: types.isRegExp,
  isString: (value) => typeof value === "string",
  isSymbol: (value) => typeof value === "symbol",
  isUndefined: (value) => value === undefined,
};

module.exports = {
  _errnoException,
  _exceptionWithHostPort,
  _extend,
  aborted,
  callbackify,
  debug: debuglog,
  debuglog,
  deprecate(fn, message, code) {
    validateFunction(fn, "fn");
    return deprecate(fn, message, code);
  },
  convertProcessSignalToExitCode,
  diff,
  format,
  formatWithOptions,
  getCallSite: getCallSites,
  getCallSites,
  getSystemErrorMap: systemErrorMap,
  getSystemErrorMessage,
  getSystemErrorName,
  inherits,
  inspect,
  isArray: Array.isArray,
  ...oldFunctions,
  isDeepStrictEqual,
  log,
  MIMEParams,
  MIMEType,
  parseArgs,
  parseEnv,
  promisify,
  // No signal arrives that could be traced.
  setTraceSigInt() {},
  stripVTControlCharacters,
  styleText,
  TextDecoder,
  TextEncoder,
  toUSVString,
  transferableAbortController,
  transferableAbortSignal,
  types,
};
