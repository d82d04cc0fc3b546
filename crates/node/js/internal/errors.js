// Errors with Node's codes: new ERR_X(...) or, for classes beside the default, new ERR_X.TypeError(...) and the like.
//
// E(code, message, Base, ...others): message is text or a function of the constructor's arguments.

const codes = {};

const kIsNodeError = Symbol("kIsNodeError");

function makeClass(Base, code, message) {
  // A function, not a class: the error's own constructor must be Base's, as `error.constructor === TypeError` is used.
  function NodeError(...args) {
    const text = typeof message === "function" ? Reflect.apply(message, undefined, args) : message;
    const error = new Base();
    Object.defineProperties(error, {
      [kIsNodeError]: { value: true, enumerable: false, writable: true, configurable: true },
      message: { value: text, enumerable: false, writable: true, configurable: true },
      toString: {
        value() {
          return `${this.name} [${code}]: ${this.message}`;
        },
        enumerable: false,
        writable: true,
        configurable: true,
      },
    });
    // The stack's first line shows the code; the name stays the class's own.
    const { stackTraceLimit } = Error;
    if (stackTraceLimit > 0) {
      error.name = `${Base.name} [${code}]`;
      Error.captureStackTrace(error, NodeError);
      void error.stack;
      delete error.name;
    }
    error.code = code;
    return error;
  }
  return NodeError;
}

function E(code, message, Base, ...others) {
  const main = makeClass(Base, code, message);
  for (const Other of others) main[Other.name] = makeClass(Other, code, message);
  codes[code] = main;
}

function addNumericalSeparator(text) {
  const start = text[0] === "-" ? 1 : 0;
  let i = text.length;
  let result = "";
  for (; i >= start + 4; i -= 3) result = `_${text.slice(i - 3, i)}${result}`;
  return `${text.slice(0, i)}${result}`;
}

// "an instance of Foo", "type string ('x')": how a received value is described.
function describeReceived(value) {
  if (value === null || value === undefined) return ` Received ${value}`;
  if (typeof value === "function") return ` Received function ${value.name}`;
  if (typeof value === "object") {
    if (value.constructor?.name) return ` Received an instance of ${value.constructor.name}`;
    return ` Received ${require("internal/inspect").inspect(value, { depth: -1 })}`;
  }
  let text = require("internal/inspect").inspect(value, { colors: false });
  if (text.length > 28) text = `${text.slice(0, 25)}...`;
  return ` Received type ${typeof value} (${text})`;
}

const CLASS_NAME = /^[A-Z][a-zA-Z0-9]*$/;
const PRIMITIVES = ["string", "function", "number", "object", "Function", "Object", "boolean", "bigint", "symbol"];

function list(words, conjunction) {
  if (words.length <= 1) return words.join("");
  if (words.length === 2) return `${words[0]} ${conjunction} ${words[1]}`;
  return `${words.slice(0, -1).join(", ")}, ${conjunction} ${words[words.length - 1]}`;
}

E("ERR_INVALID_ARG_TYPE", (name, expected, actual) => {
  if (!Array.isArray(expected)) expected = [expected];
  let message = "The ";
  if (name.endsWith(" argument")) message += `${name} `;
  else message += `"${name}" ${name.includes(".") ? "property" : "argument"} `;
  message += "must be ";
  const types = [];
  const instances = [];
  const other = [];
  for (const value of expected) {
    if (PRIMITIVES.includes(value)) types.push(value.toLowerCase());
    else if (CLASS_NAME.test(value)) instances.push(value);
    else other.push(value);
  }
  // "object" beside classes reads as one more class.
  if (instances.length > 0) {
    const at = types.indexOf("object");
    if (at !== -1) {
      types.splice(at, 1);
      instances.push("Object");
    }
  }
  if (types.length > 0) {
    message += `${types.length > 1 ? "one of type" : "of type"} ${list(types, "or")}`;
    if (instances.length > 0 || other.length > 0) message += " or ";
  }
  if (instances.length > 0) {
    message += `an instance of ${list(instances, "or")}`;
    if (other.length > 0) message += " or ";
  }
  if (other.length > 0) {
    if (other.length > 1) message += `one of ${list(other, "or")}`;
    else message += `${other[0].toLowerCase() !== other[0] ? "an " : ""}${other[0]}`;
  }
  return `${message}.${describeReceived(actual)}`;
}, TypeError);

E("ERR_INVALID_ARG_VALUE", (name, value, reason = "is invalid") => {
  let text = require("internal/inspect").inspect(value);
  if (text.length > 128) text = `${text.slice(0, 128)}...`;
  return `The ${name.includes(".") ? "property" : "argument"} '${name}' ${reason}. Received ${text}`;
}, TypeError, RangeError);

E("ERR_OUT_OF_RANGE", (name, range, input, replaceDefault = false) => {
  let received;
  if (Number.isInteger(input) && Math.abs(input) > 2 ** 32) received = addNumericalSeparator(String(input));
  else if (typeof input === "bigint") {
    received = String(input);
    if (input > 2n ** 32n || input < -(2n ** 32n)) received = addNumericalSeparator(received);
    received += "n";
  } else received = require("internal/inspect").inspect(input);
  return `${replaceDefault ? name : `The value of "${name}" is out of range.`} It must be ${range}. Received ${received}`;
}, RangeError, TypeError);

E("ERR_INVALID_THIS", (type) => `Value of "this" must be of type ${type}`, TypeError);
E("ERR_MISSING_ARGS", (...names) => {
  const quote = (name) => Array.isArray(name) ? name.map((each) => `"${each}"`).join(" or ") : `"${name}"`;
  return `The ${list(names.map(quote), "and")} argument${names.length > 1 ? "s" : ""} must be specified`;
}, TypeError);
E("ERR_METHOD_NOT_IMPLEMENTED", (name) => `The ${name} method is not implemented`, Error);
E("ERR_INVALID_RETURN_VALUE", (input, name, value) => {
  const type = value?.constructor?.name ? `an instance of ${value.constructor.name}` : `type ${typeof value}`;
  return `Expected ${input} to be returned from the "${name}" function but got ${type}.`;
}, TypeError, RangeError);
E("ERR_INVALID_STATE", (message) => `Invalid state: ${message}`, Error, TypeError, RangeError);
E("ERR_UNKNOWN_ENCODING", (encoding) => `Unknown encoding: ${encoding}`, TypeError);
E("ERR_ILLEGAL_CONSTRUCTOR", "Illegal constructor", TypeError);
E("ERR_OPERATION_FAILED", (message) => `Operation failed: ${message}`, Error, TypeError);

class AbortError extends Error {
  constructor(message = "The operation was aborted", options = undefined) {
    if (options !== undefined && typeof options !== "object") {
      throw new codes.ERR_INVALID_ARG_TYPE("options", "Object", options);
    }
    super(message, options);
    this.code = "ABORT_ERR";
    this.name = "AbortError";
  }
}

// Throws in a way that no stack frame of ours shows.
function hideStackFrames(fn) {
  return fn;
}

module.exports = { AbortError, codes, E, hideStackFrames, kIsNodeError };
