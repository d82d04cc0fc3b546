// Hash, Hmac, hash().

const {
  op_crypto_hash_copy, op_crypto_hash_digest, op_crypto_hash_names, op_crypto_hash_new, op_crypto_hash_oneshot,
  op_crypto_hash_update, op_crypto_hash_update_text, op_crypto_hmac_digest, op_crypto_hmac_new, op_crypto_hmac_update,
} = internal.ops;
const { Buffer } = require("buffer");
const {
  ERR_CRYPTO_HASH_FINALIZED, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE,
} = require("internal/crypto/errors");
const { fromString, isView, output, toBytes, validateEncoding, viewOf } = require("internal/crypto/bytes");
const { validateString, validateUint32 } = require("internal/validators");
const LazyTransform = require("internal/crypto/lazy_transform");

const kHandle = Symbol("kHandle");
const kState = Symbol("kState");

function isUtf8(encoding) {
  return encoding === undefined || encoding === null || encoding === "utf8" || encoding === "utf-8" || encoding === "buffer";
}

function outputLength(options) {
  // An absent option only; null is an error.
  if (options === null || typeof options !== "object" || options.outputLength === undefined) return -1;
  validateUint32(options.outputLength, "options.outputLength");
  return options.outputLength;
}

function Hash(algorithm, options) {
  if (!new.target) return new Hash(algorithm, options);
  const copied = algorithm?.[kHandle] !== undefined && algorithm instanceof Hash;
  if (!copied) validateString(algorithm, "algorithm");
  const length = outputLength(options);
  this[kHandle] = copied ? op_crypto_hash_copy(algorithm[kHandle], length) : op_crypto_hash_new(algorithm, length);
  this[kState] = { finalized: false, digest: undefined };
  LazyTransform.call(this, options);
}
Object.setPrototypeOf(Hash.prototype, LazyTransform.prototype);
Object.setPrototypeOf(Hash, LazyTransform);

Hash.prototype.copy = function copy(options) {
  if (this[kState].finalized) throw new ERR_CRYPTO_HASH_FINALIZED();
  return new Hash(this, options);
};

Hash.prototype._transform = function _transform(chunk, encoding, callback) {
  try {
    this.update(chunk, encoding);
  } catch (error) {
    return callback(error);
  }
  callback();
};

Hash.prototype._flush = function _flush(callback) {
  const digest = this.digest();
  this[kState].digest = Uint8Array.prototype.slice.call(digest);
  this.push(digest);
  callback();
};

Hash.prototype.update = function update(data, encoding) {
  if (this[kState].finalized) throw new ERR_CRYPTO_HASH_FINALIZED();
  if (typeof data === "string") {
    if (isUtf8(encoding)) op_crypto_hash_update_text(this[kHandle], data);
    else {
      validateEncoding(data, encoding);
      op_crypto_hash_update(this[kHandle], fromString(data, encoding));
    }
  } else op_crypto_hash_update(this[kHandle], viewOf(data, "data"));
  return this;
};

Hash.prototype.digest = function digest(encoding) {
  const state = this[kState];
  if (state.finalized) {
    // What a stream's end took may be asked for again.
    if (state.digest === undefined) throw new ERR_CRYPTO_HASH_FINALIZED();
    const bytes = state.digest;
    state.digest = undefined;
    return output(bytes, encoding);
  }
  const text = encoding !== undefined && encoding !== null && encoding !== "buffer" ? `${encoding}` : undefined;
  const bytes = op_crypto_hash_digest(this[kHandle]);
  state.finalized = true;
  return output(bytes, text);
};

function Hmac(algorithm, key, options) {
  if (!new.target) return new Hmac(algorithm, key, options);
  validateString(algorithm, "hmac");
  const { secretBytes } = require("internal/crypto/keys");
  const bytes = secretBytes(key, options?.encoding);
  this[kHandle] = op_crypto_hmac_new(algorithm, bytes);
  this[kState] = { finalized: false };
  LazyTransform.call(this, options);
}
Object.setPrototypeOf(Hmac.prototype, LazyTransform.prototype);
Object.setPrototypeOf(Hmac, LazyTransform);

Hmac.prototype.update = function update(data, encoding) {
  if (this[kState].finalized) throw new ERR_CRYPTO_HASH_FINALIZED();
  if (typeof data === "string") validateEncoding(data, encoding);
  op_crypto_hmac_update(this[kHandle], typeof data === "string" ? fromString(data, encoding) : viewOf(data, "data"));
  return this;
};

// A second digest is empty, not an error.
Hmac.prototype.digest = function digest(encoding) {
  const text = encoding !== undefined && encoding !== null && encoding !== "buffer" ? `${encoding}` : undefined;
  if (this[kState].finalized) return text === undefined ? Buffer.from("") : "";
  const bytes = op_crypto_hmac_digest(this[kHandle]);
  this[kState].finalized = true;
  return output(bytes, text);
};

Hmac.prototype._transform = Hash.prototype._transform;
Hmac.prototype._flush = function _flush(callback) {
  this.push(this.digest());
  callback();
};

const OUTPUTS = ["buffer", "hex", "base64", "base64url", "latin1", "binary", "utf8", "utf-8", "ucs2", "ucs-2", "utf16le", "utf-16le", "ascii"];

function hash(algorithm, input, outputEncoding = "hex") {
  validateString(algorithm, "algorithm");
  if (typeof input !== "string" && !isView(input)) {
    throw new ERR_INVALID_ARG_TYPE("input", ["Buffer", "TypedArray", "DataView", "string"], input);
  }
  const normalized = outputEncoding;
  if (normalized !== "hex") {
    validateString(outputEncoding, "outputEncoding");
    if (!OUTPUTS.includes(outputEncoding.toLowerCase())) {
      throw new ERR_INVALID_ARG_VALUE("outputEncoding", outputEncoding);
    }
  }
  const bytes = op_crypto_hash_oneshot(algorithm, typeof input === "string" ? Buffer.from(input) : toBytes(input));
  return output(bytes, normalized.toLowerCase());
}

let names;
function getHashes() {
  names ??= op_crypto_hash_names();
  return [...names];
}

module.exports = { getHashes, Hash, hash, Hmac };
