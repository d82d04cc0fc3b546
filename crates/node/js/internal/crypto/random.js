// Random bytes, integers and UUIDs.

const { op_crypto_random_fill, op_crypto_timing_safe_equal } = internal.ops;
const { Buffer, kMaxLength } = require("buffer");
const { ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH, ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE } = require("internal/crypto/errors");
const { ARRAY_BUFFER_TYPES, isBytes, isView, toBytes } = require("internal/crypto/bytes");
const { validateBoolean, validateFunction, validateNumber, validateObject } = require("internal/validators");
const { assertInHandler } = internal.context;

const MAX_POSSIBLE_LENGTH = Math.min(kMaxLength, 2 ** 31 - 1);
// What one call of randomInt can span.
const MAX_RANGE = 2 ** 48 - 1;

function fill(bytes) {
  assertInHandler();
  op_crypto_random_fill(bytes);
}

function assertOffset(offset, elementSize, length) {
  validateNumber(offset, "offset");
  offset *= elementSize;
  const max = Math.min(length, MAX_POSSIBLE_LENGTH);
  if (Number.isNaN(offset) || offset > max || offset < 0) throw new ERR_OUT_OF_RANGE("offset", `>= 0 && <= ${max}`, offset);
  return offset >>> 0;
}

function assertSize(size, elementSize, offset, length) {
  validateNumber(size, "size");
  size *= elementSize;
  if (Number.isNaN(size) || size > MAX_POSSIBLE_LENGTH || size < 0) {
    throw new ERR_OUT_OF_RANGE("size", `>= 0 && <= ${MAX_POSSIBLE_LENGTH}`, size);
  }
  if (size + offset > length) throw new ERR_OUT_OF_RANGE("size + offset", `<= ${length}`, size + offset);
  return size >>> 0;
}

// As late as Node's answer from another thread: whoever asks again at each answer leaves room for timers.
function later(callback, ...args) {
  require("internal/timers").setImmediate(callback, ...args);
}

function randomBytes(size, callback) {
  size = assertSize(size, 1, 0, Infinity);
  if (callback !== undefined) validateFunction(callback, "callback");
  const bytes = Buffer.alloc(size);
  fill(bytes);
  if (callback === undefined) return bytes;
  later(callback, null, bytes);
}

function part(buf, offset, size) {
  const elementSize = buf.BYTES_PER_ELEMENT || 1;
  const start = assertOffset(offset, elementSize, buf.byteLength);
  const length = size === undefined ? buf.byteLength - start : assertSize(size, elementSize, start, buf.byteLength);
  const view = isView(buf)
    ? new Uint8Array(buf.buffer, buf.byteOffset + start, length)
    : new Uint8Array(buf, start, length);
  return view;
}

// Ops take no shared memory.
function fillPart(view) {
  if (view.length === 0) return;
  if (view.buffer instanceof ArrayBuffer) return fill(view);
  const copy = new Uint8Array(view.length);
  fill(copy);
  view.set(copy);
}

function randomFillSync(buf, offset = 0, size) {
  if (!isBytes(buf)) throw new ERR_INVALID_ARG_TYPE("buf", ["ArrayBuffer", "ArrayBufferView"], buf);
  fillPart(part(buf, offset, size));
  return buf;
}

function randomFill(buf, offset, size, callback) {
  if (!isBytes(buf)) throw new ERR_INVALID_ARG_TYPE("buf", ["ArrayBuffer", "ArrayBufferView"], buf);
  if (typeof offset === "function") {
    callback = offset;
    offset = 0;
    size = undefined;
  } else if (typeof size === "function") {
    callback = size;
    size = undefined;
  } else validateFunction(callback, "callback");
  fillPart(part(buf, offset === undefined ? 0 : offset, size));
  later(callback, null, buf);
}

function random48() {
  const bytes = new Uint8Array(6);
  fill(bytes);
  let value = 0;
  for (const byte of bytes) value = value * 256 + byte;
  return value;
}

function randomInt(min, max, callback) {
  const minNotSpecified = max === undefined || typeof max === "function";
  if (minNotSpecified) {
    callback = max;
    max = min;
    min = 0;
  }
  const isSync = callback === undefined;
  if (!isSync) validateFunction(callback, "callback");
  if (!Number.isSafeInteger(min)) throw new ERR_INVALID_ARG_TYPE("min", "a safe integer", min);
  if (!Number.isSafeInteger(max)) throw new ERR_INVALID_ARG_TYPE("max", "a safe integer", max);
  if (max <= min) throw new ERR_OUT_OF_RANGE("max", `greater than the value of "min" (${min})`, max);
  const range = max - min;
  if (!(range <= MAX_RANGE)) {
    throw new ERR_OUT_OF_RANGE(minNotSpecified ? "max" : "max - min", `<= ${MAX_RANGE}`, minNotSpecified ? max : range);
  }
  // Values of the last, partial run would be likelier than the others: draw again.
  const limit = MAX_RANGE + 1 - ((MAX_RANGE + 1) % range);
  let value;
  do value = random48(); while (value >= limit);
  value = (value % range) + min;
  if (isSync) return value;
  later(callback, undefined, value);
}

const HEX = Array.from({ length: 256 }, (_, i) => (i + 256).toString(16).slice(1));

function randomUUID(options) {
  if (options !== undefined) validateObject(options, "options");
  const { disableEntropyCache = false } = options ?? {};
  validateBoolean(disableEntropyCache, "options.disableEntropyCache");
  const b = new Uint8Array(16);
  fill(b);
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  let text = "";
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) text += "-";
    text += HEX[b[i]];
  }
  return text;
}

function timingSafeEqual(buf1, buf2) {
  if (!isBytes(buf1)) throw new ERR_INVALID_ARG_TYPE("buf1", ARRAY_BUFFER_TYPES, buf1);
  if (!isBytes(buf2)) throw new ERR_INVALID_ARG_TYPE("buf2", ARRAY_BUFFER_TYPES, buf2);
  if (buf1.byteLength !== buf2.byteLength) throw new ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH();
  return op_crypto_timing_safe_equal(toBytes(buf1), toBytes(buf2));
}

module.exports = { randomBytes, randomFill, randomFillSync, randomInt, randomUUID, timingSafeEqual };
