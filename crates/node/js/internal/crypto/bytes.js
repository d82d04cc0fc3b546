// Arguments that are bytes, results that are buffers, and callbacks.

const { Buffer } = require("buffer");
const { ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE } = require("internal/crypto/errors");

const ARRAY_BUFFER_TYPES = ["ArrayBuffer", "Buffer", "TypedArray", "DataView"];

function isAnyArrayBuffer(value) {
  if (value === null || typeof value !== "object") return false;
  const tag = Object.prototype.toString.call(value);
  return value instanceof ArrayBuffer || tag === "[object SharedArrayBuffer]" || tag === "[object ArrayBuffer]";
}

function isView(value) {
  return ArrayBuffer.isView(value);
}

function isBytes(value) {
  return isView(value) || isAnyArrayBuffer(value);
}

// The bytes of a view or buffer, not copied.
function toBytes(value) {
  if (value instanceof Uint8Array) return value;
  if (isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return new Uint8Array(value);
}

function toBuffer(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// Strings by their encoding; "buffer" means the default.
function fromString(text, encoding) {
  return Buffer.from(text, encoding === "buffer" || encoding === undefined || encoding === null ? "utf8" : encoding);
}

// Strings, views and array buffers; anything else throws, naming the argument.
function bytesOf(value, name, encoding = undefined, types = undefined) {
  if (typeof value === "string") return fromString(value, encoding);
  if (isBytes(value)) return toBytes(value);
  throw new ERR_INVALID_ARG_TYPE(name, types ?? ["string", ...ARRAY_BUFFER_TYPES], value);
}

// A view, as `update` takes it.
function viewOf(value, name) {
  if (!isView(value)) throw new ERR_INVALID_ARG_TYPE(name, ["string", "Buffer", "TypedArray", "DataView"], value);
  return toBytes(value);
}

// Text of an odd number of digits is no hexadecimal.
function validateEncoding(data, encoding) {
  if (encoding === "hex" && data.length % 2 !== 0) {
    throw new ERR_INVALID_ARG_VALUE("encoding", encoding, `is invalid for data of length ${data.length}`);
  }
}

// A result as the caller wants it: a buffer, or text.
function output(bytes, encoding) {
  const buffer = toBuffer(bytes);
  return encoding === undefined || encoding === null || encoding === "buffer" ? buffer : buffer.toString(encoding);
}

// Calls back outside of the promise, so that what the callback throws is an uncaught exception.
function deliver(promise, callback) {
  promise.then(
    (value) => queueMicrotask(() => callback(null, ...(Array.isArray(value) ? value : [value]))),
    (error) => queueMicrotask(() => callback(error)),
  );
}

module.exports = {
  ARRAY_BUFFER_TYPES,
  bytesOf,
  deliver,
  fromString,
  isAnyArrayBuffer,
  isBytes,
  isView,
  output,
  toBuffer,
  toBytes,
  validateEncoding,
  viewOf,
};
