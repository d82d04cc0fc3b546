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
      [kIsNodeError]: { __proto__: null, value: true, enumerable: false, writable: true, configurable: true },
      message: { __proto__: null, value: text, enumerable: false, writable: true, configurable: true },
      toString: {
        __proto__: null,
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

// "an instance of Foo", "type string ('x')", "undefined": as messages about returned values say it.
function determineSpecificType(value) {
  return describeReceived(value).slice(" Received ".length);
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
E("ERR_INVALID_RETURN_VALUE", (input, name, value) => {
  return `Expected ${input} to be returned from the "${name}" function but got ${determineSpecificType(value)}.`;
}, TypeError, RangeError);
E("ERR_INVALID_RETURN_PROPERTY_VALUE", (input, name, property, value) => {
  return `Expected ${input} to be returned for the "${property}" from the "${name}" function but got ${determineSpecificType(value)}.`;
}, TypeError);
E("ERR_INVALID_STATE", (message) => `Invalid state: ${message}`, Error, TypeError, RangeError);

// What needs no more than text. Lines: code, classes, message; ${n} is the constructor's n-th argument.
for (
  const [code, classes, message] of [
    ["ERR_AMBIGUOUS_ARGUMENT", [TypeError], (name, reason) => `The "${name}" argument is ambiguous. ${reason}`],
    ["ERR_ARG_NOT_ITERABLE", [TypeError], (name) => `${name} must be iterable`],
    ["ERR_ASSERTION", [Error], (text) => text],
    ["ERR_ASYNC_CALLBACK", [TypeError], (name) => `${name} must be a function`],
    ["ERR_ASYNC_TYPE", [TypeError], (name) => `Invalid name for async "type": ${name}`],
    ["ERR_BROTLI_INVALID_PARAM", [RangeError], (name) => `${name} is not a valid Brotli parameter`],
    ["ERR_BUFFER_OUT_OF_BOUNDS", [RangeError], (name = undefined) => name ? `"${name}" is outside of buffer bounds` : "Attempt to access memory outside buffer bounds"],
    ["ERR_BUFFER_TOO_LARGE", [RangeError], (limit) => `Cannot create a Buffer larger than ${limit} bytes`],
    ["ERR_CONSOLE_WRITABLE_STREAM", [TypeError], (name) => `Console expects a writable stream instance for ${name}`],
    ["ERR_CONSTRUCT_CALL_REQUIRED", [TypeError], (name) => `Class constructor ${name} cannot be invoked without \`new\``],
    ["ERR_CONSTRUCT_CALL_INVALID", [TypeError], "Constructor cannot be called"],
    ["ERR_CONTEXT_NOT_INITIALIZED", [Error], "context used is not initialized"],
    ["ERR_CRYPTO_FIPS_UNAVAILABLE", [Error], "Cannot set FIPS mode in a non-FIPS build."],
    ["ERR_ENCODING_INVALID_ENCODED_DATA", [TypeError], (encoding) => `The encoded data was not valid for encoding ${encoding}`],
    ["ERR_ENCODING_NOT_SUPPORTED", [RangeError], (encoding) => `The "${encoding}" encoding is not supported`],
    ["ERR_EVAL_ESM_CANNOT_PRINT", [Error], "--print cannot be used with ESM input"],
    ["ERR_EVENT_RECURSION", [Error], (type) => `The event "${type}" is already being dispatched`],
    ["ERR_FALSY_VALUE_REJECTION", [Error], "Promise was rejected with falsy value"],
    ["ERR_FEATURE_UNAVAILABLE_ON_PLATFORM", [TypeError], (name) => `The feature ${name} is unavailable on the current platform, which is being used to run Node.js`],
    ["ERR_ILLEGAL_CONSTRUCTOR", [TypeError], "Illegal constructor"],
    ["ERR_INTERNAL_ASSERTION", [Error], (message) => message === undefined ? "This is caused by either a bug in Atoll or incorrect usage of its internals." : `${message}`],
    ["ERR_INVALID_ADDRESS", [Error], "Invalid address"],
    ["ERR_INVALID_ASYNC_ID", [RangeError], (name, value) => `Invalid ${name} value: ${value}`],
    ["ERR_INVALID_BUFFER_SIZE", [RangeError], (size) => `Buffer size must be a multiple of ${size}`],
    ["ERR_INVALID_CHAR", [TypeError], (name, field = undefined) => `Invalid character in ${name}${field === undefined ? "" : ` ["${field}"]`}`],
    ["ERR_INVALID_FD", [RangeError], (fd) => `"fd" must be a positive integer: ${fd}`],
    ["ERR_INVALID_FILE_URL_HOST", [TypeError], (platform) => `File URL host must be "localhost" or empty on ${platform}`],
    ["ERR_INVALID_FILE_URL_PATH", [TypeError], (reason) => `File URL path ${reason}`],
    ["ERR_INVALID_HANDLE_TYPE", [TypeError], "This handle type cannot be sent"],
    ["ERR_INVALID_IP_ADDRESS", [TypeError], (address) => `Invalid IP address: ${address}`],
    ["ERR_INVALID_MIME_SYNTAX", [TypeError], (production, text, at) => `The MIME syntax for a ${production} in ${text} is invalid${at !== -1 ? ` at ${at}` : ""}`],
    ["ERR_INVALID_PROTOCOL", [TypeError], (protocol, expected) => `Protocol "${protocol}" not supported. Expected "${expected}"`],
    ["ERR_INVALID_SYNC_FORK_INPUT", [TypeError], (type) => `Asynchronous forks do not support Buffer, TypedArray, DataView or string input: ${type}`],
    ["ERR_INVALID_TUPLE", [TypeError], (name, expected) => `${name} must be an iterable ${expected} tuple`],
    ["ERR_INVALID_URI", [URIError], "URI malformed"],
    ["ERR_INVALID_URL_SCHEME", [TypeError], (expected) => `The URL must be ${list([expected].flat().map((each) => `scheme ${each}`), "or").replaceAll("or scheme", "or")}`],
    ["ERR_METHOD_NOT_IMPLEMENTED", [Error], (name) => `The ${name} method is not implemented`],
    ["ERR_MULTIPLE_CALLBACK", [Error], "Callback called multiple times"],
    ["ERR_NO_CRYPTO", [Error], "Node.js is not compiled with OpenSSL crypto support"],
    ["ERR_OPERATION_FAILED", [Error, TypeError], (message) => `Operation failed: ${message}`],
    ["ERR_PARSE_ARGS_INVALID_OPTION_VALUE", [TypeError], (message) => message],
    ["ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL", [TypeError], (text) => `Unexpected argument '${text}'. This command does not take positional arguments`],
    ["ERR_PARSE_ARGS_UNKNOWN_OPTION", [TypeError], (option, positionals) => {
      const hint = positionals && option
        ? `. To specify a positional argument starting with a '-', place it at the end of the command after '--', as in '-- ${JSON.stringify(option)}`
        : "";
      return `Unknown option '${option}'${hint}`;
    }],
    ["ERR_FS_CP_EINVAL", [Error], (message) => message],
    ["ERR_DIR_CLOSED", [Error], "Directory handle was closed"],
    ["ERR_SOCKET_BAD_PORT", [RangeError], (name, port, zero = true) => `${name} should be ${zero ? ">= 0" : "> 0"} and < 65536. Received ${determineSpecificType(port)}.`],
    ["ERR_SOCKET_CLOSED", [Error], "Socket is closed"],
    ["ERR_STREAM_ALREADY_FINISHED", [Error], (name) => `Cannot call ${name} after a stream was finished`],
    ["ERR_STREAM_CANNOT_PIPE", [Error], "Cannot pipe, not readable"],
    ["ERR_STREAM_DESTROYED", [Error], (name) => `Cannot call ${name} after a stream was destroyed`],
    ["ERR_STREAM_NULL_VALUES", [TypeError], "May not write null values to stream"],
    ["ERR_STREAM_PREMATURE_CLOSE", [Error], "Premature close"],
    ["ERR_STREAM_PUSH_AFTER_EOF", [Error], "stream.push() after EOF"],
    ["ERR_STREAM_UNABLE_TO_PIPE", [Error], "Cannot pipe to a closed or destroyed stream"],
    ["ERR_STREAM_UNSHIFT_AFTER_END_EVENT", [Error], "stream.unshift() after end event"],
    ["ERR_STREAM_WRAP", [Error], "Stream has StringDecoder set or is in objectMode"],
    ["ERR_STREAM_WRITE_AFTER_END", [Error], "write after end"],
    ["ERR_STRING_TOO_LONG", [Error], (limit) => `Cannot create a string longer than 0x${limit.toString(16)} characters`],
    ["ERR_TLS_INVALID_PROTOCOL_VERSION", [TypeError], (version, name) => `${JSON.stringify(version)} is not a valid ${name} TLS protocol version`],
    ["ERR_TRANSFORM_ALREADY_TRANSFORMING", [Error], "Calling transform done when still transforming"],
    ["ERR_TRANSFORM_WITH_LENGTH_0", [Error], "Calling transform done when writableState.length != 0"],
    ["ERR_UNAVAILABLE_DURING_EXIT", [Error], "Cannot call function in process exit handler"],
    ["ERR_UNHANDLED_ERROR", [Error], (shown = undefined) => shown === undefined ? "Unhandled error." : `Unhandled error. (${shown})`],
    ["ERR_UNKNOWN_ENCODING", [TypeError], (encoding) => `Unknown encoding: ${encoding}`],
    ["ERR_UNKNOWN_SIGNAL", [TypeError], (signal) => `Unknown signal: ${signal}`],
    ["ERR_USE_AFTER_CLOSE", [Error], (name) => `${name} was closed`],
    ["ERR_ZLIB_INITIALIZATION_FAILED", [Error], (message) => message ?? "Initialization failed"],
  ]
) {
  E(code, message, ...classes);
}

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

// An error whose class has no code of its own.
function genericNodeError(message, properties) {
  return Object.assign(new Error(message), properties);
}

// Both, when the second happened while the first was dealt with.
function aggregateTwoErrors(inner, outer) {
  if (inner && outer && inner !== outer) {
    if (Array.isArray(outer.errors)) {
      outer.errors.push(inner);
      return outer;
    }
    const both = new AggregateError([outer, inner], outer.message);
    both.code = outer.code;
    return both;
  }
  return inner || outer;
}

// A failure of what stands for an operation of the system: errno, code, syscall.
function uvException({ errno, syscall, code, message, path }) {
  const error = new Error(`${code}: ${message}, ${syscall}${path === undefined ? "" : ` '${path}'`}`);
  return Object.assign(error, { errno, code, syscall }, path === undefined ? {} : { path });
}

module.exports = {
  AbortError,
  aggregateTwoErrors,
  codes,
  determineSpecificType,
  E,
  genericNodeError,
  hideStackFrames,
  kIsNodeError,
  uvException,
};
