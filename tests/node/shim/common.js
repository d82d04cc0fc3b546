// require('../common'): what Node's tests ask of their surroundings, for a place without files, processes and network.
"use strict";

const assert = require("assert");
const { inspect } = require("util");
const harness = require("harness");

const process = globalThis.process;

function noop() {}

function mustCallInner(callback, criterion, kind) {
  if (process._exiting) throw new Error("mustCall cannot be used in an exit listener");
  if (typeof callback === "number") {
    criterion = callback;
    callback = noop;
  }
  callback ??= noop;
  criterion ??= 1;
  if (typeof criterion !== "number") throw new TypeError(`mustCall: ${criterion} is not a count`);
  const { stack } = new Error();
  let actual = 0;
  harness.atExit(() => {
    const enough = kind === "exact" ? actual === criterion : actual >= criterion;
    if (enough) return null;
    const from = stack.split("\n").slice(3, 5).join("\n");
    return `${callback.name || "<anonymous>"} must be called ${kind === "exact" ? "" : "at least "}${criterion} times, was called ${actual} times\n${from}`;
  });
  const counted = function (...args) {
    actual++;
    return Reflect.apply(callback, this, args);
  };
  Object.defineProperty(counted, "name", { value: callback.name, configurable: true });
  Object.defineProperty(counted, "length", { value: callback.length, configurable: true });
  return counted;
}

function mustCall(callback, exact) {
  return mustCallInner(callback, exact, "exact");
}

function mustCallAtLeast(callback, minimum) {
  return mustCallInner(callback, minimum, "minimum");
}

function mustSucceed(callback, exact) {
  return mustCall(function (error, ...args) {
    assert.ifError(error);
    return typeof callback === "function" ? Reflect.apply(callback, this, args) : undefined;
  }, exact);
}

function callSite(top) {
  const holder = {};
  Error.captureStackTrace(holder, top);
  return `${holder.stack}`.split("\n")[1]?.trim().replace(/^at /, "") ?? "an unknown place";
}

function mustNotCall(message) {
  const site = callSite(mustNotCall);
  return function mustNotCall(...args) {
    const detail = args.length > 0 ? `\ncalled with arguments: ${args.map((arg) => inspect(arg)).join(", ")}` : "";
    assert.fail(`${message || "function should not have been called"} at ${site}${detail}`);
  };
}

function mustNotMutateObjectDeep(original) {
  if (original === null || typeof original !== "object") return original;
  const refuse = (what) => (_target, key) => assert.fail(`Expected no side effects, got ${inspect(key)} ${what}`);
  return new Proxy(original, {
    get: (target, key, receiver) => mustNotMutateObjectDeep(Reflect.get(target, key, receiver)),
    set: refuse("assigned"),
    defineProperty: refuse("defined"),
    deleteProperty: refuse("deleted"),
    preventExtensions: () => assert.fail("Expected no side effects, got extensions prevented"),
    setPrototypeOf: () => assert.fail("Expected no side effects, got the prototype set"),
  });
}

// name -> a list of [message, code] still awaited.
let awaited = null;

function awaitWarnings(name, expected, code) {
  let list = expected;
  if (typeof expected === "string" || expected instanceof RegExp) list = [[expected, code]];
  else if (!Array.isArray(expected)) list = Object.entries(expected).map(([key, message]) => [message, key]);
  else if (expected.length > 0 && !Array.isArray(expected[0])) list = [[expected[0], expected[1]]];
  const rest = [...list];
  awaited.set(name, mustCall((warning) => {
    const next = rest.shift();
    if (next === undefined) assert.fail(`Unexpected warning: ${warning}`);
    const [message, wanted] = next;
    if (typeof message === "string") assert.strictEqual(warning.message, message);
    else assert.match(warning.message, message);
    assert.strictEqual(warning.code, wanted);
  }, list.length));
}

function expectWarning(nameOrMap, expected, code) {
  if (awaited === null) {
    awaited = new Map();
    process.on("warning", (warning) => {
      const check = awaited.get(warning.name);
      if (check === undefined) throw new TypeError(`Unexpected warning: ${warning.name}: ${warning.message}`);
      check(warning);
    });
  }
  if (typeof nameOrMap === "string") awaitWarnings(nameOrMap, expected, code);
  else for (const name of Object.keys(nameOrMap)) awaitWarnings(name, nameOrMap[name]);
}

function expectsError(validator, exact) {
  return mustCall((...args) => {
    if (args.length !== 1) assert.fail(`Expected one argument, got ${inspect(args)}`);
    const [error] = args;
    assert.strictEqual(Object.prototype.propertyIsEnumerable.call(error, "message"), false);
    assert.throws(() => {
      throw error;
    }, validator);
    return true;
  }, exact);
}

function getArrayBufferViews({ buffer, byteOffset, byteLength }) {
  const kinds = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
    Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView,
  ];
  return kinds
    .filter((Kind) => byteLength % (Kind.BYTES_PER_ELEMENT ?? 1) === 0)
    .map((Kind) => new Kind(buffer, byteOffset, byteLength / (Kind.BYTES_PER_ELEMENT ?? 1)));
}

function getBufferSources(buffer) {
  return [...getArrayBufferViews(buffer), new Uint8Array(buffer).buffer];
}

// How the message of ERR_INVALID_ARG_TYPE ends.
function invalidArgTypeHelper(input) {
  if (input == null) return ` Received ${input}`;
  if (typeof input === "function") return ` Received function ${input.name}`;
  if (typeof input === "object") {
    return input.constructor?.name
      ? ` Received an instance of ${input.constructor.name}`
      : ` Received ${inspect(input, { depth: -1 })}`;
  }
  const text = inspect(input, { colors: false });
  return ` Received type ${typeof input} (${text.length > 28 ? `${text.slice(0, 25)}...` : text})`;
}

function skip(reason) {
  harness.skip(reason);
}

const common = {
  allowGlobals: (...values) => {
    const names = Object.getOwnPropertyNames(globalThis).filter((name) => values.includes(globalThis[name]));
    harness.allowGlobals([...names, ...values.filter((value) => typeof value === "string")]);
  },
  buildType: "Release",
  canCreateSymLink: () => false,
  enoughTestMem: false,
  expectsError,
  expectWarning,
  getArrayBufferViews,
  getBufferSources,
  getCallSite: callSite,
  hasCrypto: true,
  hasFipsCrypto: false,
  hasIPv6: false,
  hasIntl: true,
  hasMultiLocalhost: () => false,
  hasOpenSSL: (major = 0) => major <= 3,
  hasOpenSSL3: true,
  hasQuic: false,
  inFreeBSDJail: false,
  invalidArgTypeHelper,
  isAIX: false,
  isASan: false,
  isAlive: () => false,
  isDumbTerminal: false,
  isFreeBSD: false,
  isIBMi: false,
  isLinux: true,
  isLinuxPPCBE: false,
  isMacOS: false,
  isMainThread: true,
  isOpenBSD: false,
  isOSX: false,
  isPi: false,
  isSunOS: false,
  isWindows: false,
  localhostIPv4: "127.0.0.1",
  localIPv6Hosts: ["localhost"],
  mustCall,
  mustCallAtLeast,
  mustNotCall,
  mustNotMutateObjectDeep,
  mustSucceed,
  opensslCli: false,
  parseTestFlags: () => [],
  platformTimeout: (ms) => ms,
  printSkipMessage: (message) => console.log(`Skipped: ${message}`),
  runWithInvalidFD: noop,
  getTTYfd: () => -1,
  skip,
  skipIf32Bits: noop,
  skipIfDumbTerminal: noop,
  skipIfEslintMissing: () => skip("no ESLint"),
  skipIfInspectorDisabled: () => skip("no inspector in a worker"),
  skipIfWorker: noop,
};

// A name that is not here is an error, not undefined.
module.exports = new Proxy(common, {
  get(target, key) {
    if (typeof key === "string" && !(key in target) && key !== "then" && key !== "__esModule") {
      throw new Error(`test/common has no "${key}" here`);
    }
    return target[key];
  },
});
