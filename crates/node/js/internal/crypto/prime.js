// generatePrime, checkPrime.

const { op_crypto_prime_check, op_crypto_prime_generate } = internal.ops;
const { assertInHandler } = internal.context;
const { ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE } = require("internal/crypto/errors");
const { isBytes, toBytes } = require("internal/crypto/bytes");
const { runAsync, runSync } = require("internal/crypto/jobs");
const { validateBoolean, validateFunction, validateInt32, validateInteger, validateObject } = require("internal/validators");

const NOTHING = new Uint8Array(0);

function bigIntBytes(value) {
  if (value < 0n) return null;
  let text = value.toString(16);
  if (text.length % 2 !== 0) text = `0${text}`;
  return Uint8Array.from(text.match(/../g), (pair) => Number.parseInt(pair, 16));
}

function bytesToBigInt(bytes) {
  let text = "0x0";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return BigInt(text);
}

function number(value, name) {
  if (value === undefined) return NOTHING;
  if (typeof value === "bigint") {
    const bytes = bigIntBytes(value);
    if (bytes === null) throw new ERR_OUT_OF_RANGE(name, ">= 0", value);
    return bytes;
  }
  if (!isBytes(value)) throw new ERR_INVALID_ARG_TYPE(name, ["ArrayBuffer", "TypedArray", "Buffer", "DataView", "bigint"], value);
  return toBytes(value);
}

function generateJob(size, options) {
  validateInt32(size, "size", 1);
  validateObject(options, "options");
  const { safe = false, bigint = false, add, rem } = options;
  validateBoolean(safe, "options.safe");
  validateBoolean(bigint, "options.bigint");
  const [addBytes, remBytes] = [number(add, "options.add"), number(rem, "options.rem")];
  assertInHandler();
  const job = op_crypto_prime_generate(size, safe, addBytes, remBytes);
  return { job, map: bigint ? bytesToBigInt : (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) };
}

function generatePrime(size, options, callback) {
  if (typeof options === "function") {
    callback = options;
    options = {};
  }
  // Arguments in the order in which Node looks at them.
  validateInt32(size, "size", 1);
  validateFunction(callback, "callback");
  const { job, map } = generateJob(size, options);
  runAsync(job, callback, map);
}

function generatePrimeSync(size, options = {}) {
  const { job, map } = generateJob(size, options);
  return runSync(job, map);
}

const CHECKS_MAX = 2 ** 31 - 1;

function checkJob(candidate, options) {
  if (typeof candidate === "bigint") candidate = number(candidate, "candidate");
  if (!isBytes(candidate)) {
    throw new ERR_INVALID_ARG_TYPE("candidate", ["ArrayBuffer", "TypedArray", "Buffer", "DataView", "bigint"], candidate);
  }
  validateObject(options, "options");
  const { checks = 0 } = options;
  validateInteger(checks, "options.checks", 0, CHECKS_MAX);
  return op_crypto_prime_check(toBytes(candidate), checks);
}

function checkPrime(candidate, options, callback) {
  if (typeof options === "function") {
    callback = options;
    options = {};
  }
  if (typeof candidate !== "bigint" && !isBytes(candidate)) {
    throw new ERR_INVALID_ARG_TYPE("candidate", ["ArrayBuffer", "TypedArray", "Buffer", "DataView", "bigint"], candidate);
  }
  validateFunction(callback, "callback");
  runAsync(checkJob(candidate, options), callback);
}

function checkPrimeSync(candidate, options = {}) {
  return runSync(checkJob(candidate, options));
}

module.exports = { checkPrime, checkPrimeSync, generatePrime, generatePrimeSync };
