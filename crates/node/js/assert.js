// exports: Assert, AssertionError, CallTracker, deepEqual, deepStrictEqual, doesNotMatch, doesNotReject, doesNotThrow, equal, fail
// exports: ifError, match, notDeepEqual, notDeepStrictEqual, notEqual, notStrictEqual, ok, partialDeepStrictEqual, rejects, strict
// exports: strictEqual, throws

const { AssertionError } = require("internal/assertion_error");
const { CallTracker } = require("internal/call_tracker");
const { isDeepEqual, isDeepStrictEqual, isPartialStrictEqual } = require("internal/comparisons");
const { codes } = require("internal/errors");
const { expressionAt } = require("internal/source_expression");
const { inspect } = require("internal/inspect");
const { deprecate } = require("internal/deprecate");
const { emitWarning } = require("internal/host_process");
const { validateFunction } = require("internal/validators");
const { isPromise, isRegExp } = require("util/types");
const { ERR_AMBIGUOUS_ARGUMENT, ERR_CONSTRUCT_CALL_REQUIRED, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_INVALID_RETURN_VALUE, ERR_MISSING_ARGS } = codes;

const isError = (value) => internal.core.isNativeError(value) || value instanceof Error;

// What a caller said instead of a generated text: an error is thrown as it is.
function raise(options) {
  if (isError(options.message)) throw options.message;
  throw new AssertionError(options);
}

function assert(...args) {
  check(assert, args);
}
const ok = function ok(...args) {
  check(ok, args);
};

function check(caller, args) {
  const [value, given] = args;
  if (value) return;
  let message = given;
  let generated = false;
  if (args.length === 0) {
    generated = true;
    message = "No value argument passed to `assert.ok()`";
  } else if (message == null) {
    generated = true;
    message = expressionAt(caller) ?? `${inspect(value)} == true`;
  } else if (isError(message)) {
    throw message;
  }
  const error = new AssertionError({ actual: value, expected: true, message, operator: "==", stackStartFn: caller });
  error.generatedMessage = generated;
  throw error;
}

module.exports = assert;
assert.ok = ok;

let warnedOfFail = false;

assert.fail = function fail(actual, expected, message, operator, stackStartFn) {
  const count = arguments.length;
  let generated = false;
  if (actual == null && count <= 1) {
    generated = true;
    message = "Failed";
  } else if (count === 1) {
    message = actual;
    actual = undefined;
  } else {
    if (!warnedOfFail) {
      warnedOfFail = true;
      emitWarning(
        "assert.fail() with more than one argument is deprecated. Please use assert.strictEqual() instead or only pass a message.",
        "DeprecationWarning",
        "DEP0094",
      );
    }
    if (count === 2) operator = "!=";
  }
  if (isError(message)) throw message;
  const options = { actual, expected, operator: operator === undefined ? "fail" : operator, stackStartFn: stackStartFn || fail, message };
  const error = new AssertionError(options);
  if (generated) error.generatedMessage = true;
  throw error;
};

assert.AssertionError = AssertionError;

// Comparisons of two values: name, what must hold, operator.
for (
  const [name, holds, operator] of [
    ["equal", (a, b) => a == b || (Number.isNaN(a) && Number.isNaN(b)), "=="],
    ["notEqual", (a, b) => !(a == b || (Number.isNaN(a) && Number.isNaN(b))), "!="],
    ["deepEqual", isDeepEqual, "deepEqual"],
    ["notDeepEqual", (a, b) => !isDeepEqual(a, b), "notDeepEqual"],
    ["deepStrictEqual", isDeepStrictEqual, "deepStrictEqual"],
    ["notDeepStrictEqual", (a, b) => !isDeepStrictEqual(a, b), "notDeepStrictEqual"],
    ["strictEqual", Object.is, "strictEqual"],
    ["notStrictEqual", (a, b) => !Object.is(a, b), "notStrictEqual"],
    ["partialDeepStrictEqual", isPartialStrictEqual, "partialDeepStrictEqual"],
  ]
) {
  const compare = function (actual, expected, message) {
    if (arguments.length < 2) throw new ERR_MISSING_ARGS("actual", "expected");
    if (!holds(actual, expected)) raise({ actual, expected, message, operator, stackStartFn: compare });
  };
  Object.defineProperty(compare, "name", { value: name });
  assert[name] = compare;
}

// What an error was expected to have, beside what it has; the name is what a difference shows.
class Comparison {
  constructor(source, keys, actual) {
    for (const key of keys) {
      if (!(key in source)) continue;
      const matches = actual !== undefined && typeof actual[key] === "string" && isRegExp(source[key]) && source[key].exec(actual[key]) !== null;
      this[key] = matches ? actual[key] : source[key];
    }
  }
}

function compareProperty(actual, expected, key, message, keys, caller) {
  if (key in actual && isDeepStrictEqual(actual[key], expected[key])) return;
  if (message) raise({ actual, expected, message, operator: caller.name, stackStartFn: caller });
  const error = new AssertionError({
    actual: new Comparison(actual, keys),
    expected: new Comparison(expected, keys, actual),
    operator: "deepStrictEqual",
    stackStartFn: caller,
  });
  error.actual = actual;
  error.expected = expected;
  error.operator = caller.name;
  throw error;
}

function differs(actual, expected, message, caller) {
  const error = new AssertionError({ actual, expected, message, operator: "deepStrictEqual", stackStartFn: caller });
  error.operator = caller.name;
  throw error;
}

// Holds what was thrown against what was expected.
function checkThrown(actual, expected, message, caller) {
  if (typeof expected !== "function") {
    if (isRegExp(expected)) {
      if (RegExp.prototype.exec.call(expected, String(actual)) !== null) return;
      const generated = !message;
      const text = message || `The input did not match the regular expression ${inspect(expected)}. Input:\n\n${inspect(String(actual))}\n`;
      refuse(actual, expected, text, generated, caller);
    }
    if (typeof actual !== "object" || actual === null) differs(actual, expected, message, caller);
    const keys = Object.keys(expected);
    if (expected instanceof Error) keys.push("name", "message");
    else if (keys.length === 0) throw new ERR_INVALID_ARG_VALUE("error", expected, "may not be an empty object");
    for (const key of keys) {
      if (typeof actual[key] === "string" && isRegExp(expected[key]) && RegExp.prototype.exec.call(expected[key], actual[key]) !== null) continue;
      compareProperty(actual, expected, key, message, keys, caller);
    }
    return;
  }
  if (expected.prototype !== undefined && actual instanceof expected) return;
  if (Object.prototype.isPrototypeOf.call(Error, expected)) {
    if (message) refuse(actual, expected, message, false, caller);
    let text = `The error is expected to be an instance of "${expected.name}". Received `;
    if (isError(actual)) text += expected.name === actual.name ? "an error with identical name but a different prototype." : `"${actual.name}"`;
    else text += `"${inspect(actual, { depth: -1 })}"`;
    if (isError(actual)) text += `\n\nError message:\n\n${actual.message}`;
    if (isError(actual) && !(expected.name === actual.name)) {
      const { name } = actual.constructor ?? {};
      text = `The error is expected to be an instance of "${expected.name}". Received "${name || actual.name}"\n\nError message:\n\n${actual.message}`;
    }
    refuse(actual, expected, text, true, caller);
  }
  // A validation function, called without `this`.
  const result = Reflect.apply(expected, {}, [actual]);
  if (result === true) return;
  if (message) refuse(actual, expected, message, false, caller);
  const name = expected.name ? `"${expected.name}" ` : "";
  let text = `The ${name}validation function is expected to return "true". Received ${inspect(result)}`;
  if (isError(actual)) text += `\n\nCaught error:\n\n${actual}`;
  refuse(actual, expected, text, true, caller);
}

function refuse(actual, expected, message, generated, caller) {
  if (isError(message)) throw message;
  const error = new AssertionError({ actual, expected, message, operator: caller.name, stackStartFn: caller });
  error.generatedMessage = generated;
  throw error;
}

// Stands for "nothing was thrown".
const NOTHING = Symbol("nothing was thrown");

function thrownBy(fn) {
  validateFunction(fn, "fn");
  try {
    fn();
  } catch (error) {
    return error;
  }
  return NOTHING;
}

function isThenable(value) {
  return isPromise(value) || (value !== null && typeof value === "object" && typeof value.then === "function" && typeof value.catch === "function");
}

async function rejectionOf(promiseFn) {
  let promise = promiseFn;
  if (typeof promiseFn === "function") {
    promise = promiseFn();
    if (!isThenable(promise)) throw new ERR_INVALID_RETURN_VALUE("instance of Promise", "promiseFn", promise);
  } else if (!isThenable(promiseFn)) {
    throw new ERR_INVALID_ARG_TYPE("promiseFn", ["Function", "Promise"], promiseFn);
  }
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return NOTHING;
}

function expectThrown(caller, actual, expected, message, count) {
  if (typeof expected === "string") {
    if (count === 4) throw new ERR_INVALID_ARG_TYPE("error", ["Object", "Error", "Function", "RegExp"], expected);
    if (typeof actual === "object" && actual !== null) {
      if (actual.message === expected) {
        throw new ERR_AMBIGUOUS_ARGUMENT("error/message", `The error message "${actual.message}" is identical to the message.`);
      }
    } else if (actual === expected) {
      throw new ERR_AMBIGUOUS_ARGUMENT("error/message", `The error "${actual}" is identical to the message.`);
    }
    message = expected;
    expected = undefined;
  } else if (expected != null && typeof expected !== "object" && typeof expected !== "function") {
    throw new ERR_INVALID_ARG_TYPE("error", ["Object", "Error", "Function", "RegExp"], expected);
  }
  if (actual === NOTHING) {
    let details = expected?.name ? ` (${expected.name})` : "";
    details += message ? `: ${message}` : ".";
    const what = caller === assert.rejects ? "rejection" : "exception";
    raise({ actual: undefined, expected, operator: caller.name, message: isError(message) ? message : `Missing expected ${what}${details}`, stackStartFn: caller });
  }
  if (expected) checkThrown(actual, expected, message, caller);
}

function hasThrown(actual, expected) {
  if (typeof expected !== "function") {
    if (isRegExp(expected)) return RegExp.prototype.exec.call(expected, String(actual)) !== null;
    throw new ERR_INVALID_ARG_TYPE("expected", ["Function", "RegExp"], expected);
  }
  if (expected.prototype !== undefined && actual instanceof expected) return true;
  if (Object.prototype.isPrototypeOf.call(Error, expected)) return false;
  return Reflect.apply(expected, {}, [actual]) === true;
}

function expectNothing(caller, actual, error, message) {
  if (actual === NOTHING) return;
  if (typeof error === "string") {
    message = error;
    error = undefined;
  }
  if (error && !hasThrown(actual, error)) throw actual;
  const details = message ? `: ${message}` : ".";
  const what = caller === assert.doesNotReject ? "rejection" : "exception";
  raise({
    actual,
    expected: error,
    operator: caller.name,
    message: `Got unwanted ${what}${details}\nActual message: "${actual && actual.message}"`,
    stackStartFn: caller,
  });
}

assert.throws = function throws(fn, ...args) {
  expectThrown(throws, thrownBy(fn), args[0], args[1], args.length + 2);
};

assert.rejects = async function rejects(promiseFn, ...args) {
  expectThrown(rejects, await rejectionOf(promiseFn), args[0], args[1], args.length + 2);
};

assert.doesNotThrow = function doesNotThrow(fn, ...args) {
  expectNothing(doesNotThrow, thrownBy(fn), ...args);
};

assert.doesNotReject = async function doesNotReject(fn, ...args) {
  expectNothing(doesNotReject, await rejectionOf(fn), ...args);
};

assert.ifError = function ifError(error) {
  if (error === null || error === undefined) return;
  let message = "ifError got unwanted exception: ";
  if (typeof error === "object" && typeof error.message === "string") {
    message += error.message.length === 0 && error.constructor ? error.constructor.name : error.message;
  } else {
    message += inspect(error);
  }
  const unwanted = new AssertionError({ actual: error, expected: null, operator: "ifError", message, stackStartFn: ifError });
  unwanted.generatedMessage = true;
  // The frames of both: where it was made and where it was checked, without those that both have.
  const { stack } = error;
  if (typeof stack === "string") {
    const at = stack.indexOf("\n    at");
    if (at !== -1) {
      const theirs = stack.slice(at + 1).split("\n");
      let ours = unwanted.stack.split("\n");
      for (const frame of theirs) {
        const shared = ours.indexOf(frame);
        if (shared !== -1) {
          ours = ours.slice(0, shared);
          break;
        }
      }
      unwanted.stack = `${ours.join("\n")}\n${theirs.join("\n")}`;
    }
  }
  throw unwanted;
};

function checkText(string, regexp, message, caller) {
  if (!isRegExp(regexp)) throw new ERR_INVALID_ARG_TYPE("regexp", "RegExp", regexp);
  const wanted = caller === assert.match;
  if (typeof string === "string" && (RegExp.prototype.exec.call(regexp, string) !== null) === wanted) return;
  if (isError(message)) throw message;
  const generated = !message;
  let text = message;
  if (generated) {
    if (typeof string !== "string") text = `The "string" argument must be of type string. Received type ${typeof string} (${inspect(string)})`;
    else {
      text = `${wanted ? "The input did not match the regular expression " : "The input was expected to not match the regular expression "}${
        inspect(regexp)
      }. Input:\n\n${inspect(string)}\n`;
    }
  }
  const error = new AssertionError({ actual: string, expected: regexp, message: text, operator: caller.name, stackStartFn: caller });
  error.generatedMessage = generated;
  throw error;
}

assert.match = function match(string, regexp, message) {
  checkText(string, regexp, message, match);
};

assert.doesNotMatch = function doesNotMatch(string, regexp, message) {
  checkText(string, regexp, message, doesNotMatch);
};

assert.CallTracker = deprecate(CallTracker, "assert.CallTracker is deprecated.", "DEP0173");

// The same checks as methods of an object with options of its own.
class Assert {
  constructor(options = undefined) {
    if (new.target === undefined) throw new ERR_CONSTRUCT_CALL_REQUIRED("Assert");
    if (options !== undefined && (options === null || typeof options !== "object")) throw new ERR_INVALID_ARG_TYPE("options", "Object", options);
    const from = options?.strict === false ? assert : strict;
    for (const name of Object.keys(from)) {
      if (name !== "strict" && name !== "Assert" && name !== "CallTracker") this[name] = from[name];
    }
    this.AssertionError = AssertionError;
  }
}
assert.Assert = Assert;

function strict(...args) {
  check(strict, args);
}

assert.strict = Object.assign(strict, assert, {
  equal: assert.strictEqual,
  deepEqual: assert.deepStrictEqual,
  notEqual: assert.notStrictEqual,
  notDeepEqual: assert.notDeepStrictEqual,
});
assert.strict.strict = assert.strict;
