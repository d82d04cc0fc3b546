// Cipheriv, Decipheriv, and what ciphers there are.

const {
  op_crypto_cipher_final, op_crypto_cipher_info, op_crypto_cipher_names, op_crypto_cipher_new,
  op_crypto_cipher_set_aad, op_crypto_cipher_set_padding, op_crypto_cipher_set_tag, op_crypto_cipher_tag,
  op_crypto_cipher_update, op_crypto_hash_oneshot,
} = internal.ops;
const { Buffer } = require("buffer");
const { StringDecoder } = require("string_decoder");
const {
  ERR_CRYPTO_INVALID_STATE, ERR_CRYPTO_UNKNOWN_CIPHER, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE,
} = require("internal/crypto/errors");
const { bytesOf, fromString, isBytes, toBuffer, toBytes, validateEncoding, viewOf } = require("internal/crypto/bytes");
const { secretBytes } = require("internal/crypto/keys");
const LazyTransform = require("internal/crypto/lazy_transform");
const { validateInt32, validateObject, validateString } = require("internal/validators");

const kHandle = Symbol("kHandle");
const kState = Symbol("kState");
const NOTHING = new Uint8Array(0);
// What one call takes, bytes: the result has a block more and still a 31-bit length.
const DATA_MAX = 2 ** 31 - 1 - 64;

function tagLength(options) {
  const length = options?.authTagLength;
  if (length === undefined || length === null) return -1;
  if (length !== length >> 0 || length < 0) throw new ERR_INVALID_ARG_VALUE("options.authTagLength", length);
  return length;
}

function create(self, cipher, key, iv, options, encrypt) {
  validateString(cipher, "cipher");
  const encoding = options?.encoding;
  key = secretBytes(key, encoding, "key");
  if (iv !== null && typeof iv !== "string" && !isBytes(iv)) {
    throw new ERR_INVALID_ARG_TYPE("iv", ["string", "ArrayBuffer", "Buffer", "TypedArray", "DataView"], iv);
  }
  const bytes = iv === null ? NOTHING : typeof iv === "string" ? fromString(iv, encoding) : toBytes(iv);
  const length = tagLength(options);
  self[kHandle] = op_crypto_cipher_new(cipher, encrypt, key, iv !== null, bytes, length);
  self[kState] = { decoder: undefined, finalized: false };
  LazyTransform.call(self, options);
}

function decode(state, encoding, bytes, last) {
  const buffer = toBuffer(bytes);
  if (encoding === undefined || encoding === null || encoding === "buffer") return buffer;
  if (state.decoder === undefined) {
    // Throws for unknown encodings.
    state.decoder = new StringDecoder(encoding);
  } else {
    const { encoding: normalized } = new StringDecoder(encoding);
    if (normalized !== state.decoder.encoding) {
      const error = new Error("Cannot change encoding");
      error.code = "ERR_INTERNAL_ASSERTION";
      throw error;
    }
  }
  return last ? state.decoder.end(buffer) : state.decoder.write(buffer);
}

function define(Class, encrypt) {
  Object.setPrototypeOf(Class.prototype, LazyTransform.prototype);
  Object.setPrototypeOf(Class, LazyTransform);

  Class.prototype._transform = function _transform(chunk, encoding, callback) {
    let out;
    try {
      out = this.update(chunk, encoding);
    } catch (error) {
      return callback(error);
    }
    this.push(out);
    callback();
  };

  Class.prototype._flush = function _flush(callback) {
    let out;
    try {
      out = this.final();
    } catch (error) {
      return callback(error);
    }
    this.push(out);
    callback();
  };

  Class.prototype.update = function update(data, inputEncoding, outputEncoding) {
    const state = this[kState];
    let bytes;
    if (typeof data === "string") {
      validateEncoding(data, inputEncoding);
      bytes = fromString(data, inputEncoding);
    } else bytes = viewOf(data, "data");
    if (state.finalized) throw new ERR_CRYPTO_INVALID_STATE("update");
    if (bytes.byteLength > DATA_MAX) throw new ERR_OUT_OF_RANGE("data.byteLength", `<= ${DATA_MAX}`, bytes.byteLength);
    const out = op_crypto_cipher_update(this[kHandle], bytes);
    return decode(state, outputEncoding, out, false);
  };

  Class.prototype.final = function final(outputEncoding) {
    const state = this[kState];
    if (state.finalized) throw new ERR_CRYPTO_INVALID_STATE("final");
    let out;
    try {
      out = op_crypto_cipher_final(this[kHandle]);
    } finally {
      state.finalized = true;
    }
    return decode(state, outputEncoding, out, true);
  };

  Class.prototype.setAutoPadding = function setAutoPadding(padding) {
    if (this[kState].finalized) throw new ERR_CRYPTO_INVALID_STATE("setAutoPadding");
    op_crypto_cipher_set_padding(this[kHandle], padding === undefined || Boolean(padding));
    return this;
  };

  Class.prototype.setAAD = function setAAD(buffer, options) {
    const encoding = options?.encoding;
    const length = options?.plaintextLength;
    if (length !== undefined && length !== null) {
      if (length !== length >> 0 || length < 0) throw new ERR_INVALID_ARG_VALUE("options.plaintextLength", length);
    }
    let bytes;
    if (typeof buffer === "string") bytes = fromString(buffer, encoding);
    else if (isBytes(buffer)) bytes = toBytes(buffer);
    else throw new ERR_INVALID_ARG_TYPE("buffer", ["string", "ArrayBuffer", "Buffer", "TypedArray", "DataView"], buffer);
    const state = this[kState];
    if (state.finalized || !op_crypto_cipher_set_aad(this[kHandle], bytes, length ?? -1)) {
      throw new ERR_CRYPTO_INVALID_STATE("setAAD");
    }
    return this;
  };

  if (encrypt) {
    Class.prototype.getAuthTag = function getAuthTag() {
      const tag = op_crypto_cipher_tag(this[kHandle]);
      if (tag.length === 0) throw new ERR_CRYPTO_INVALID_STATE("getAuthTag");
      return toBuffer(tag);
    };
  } else {
    Class.prototype.setAuthTag = function setAuthTag(tag, encoding) {
      let bytes;
      if (typeof tag === "string") bytes = fromString(tag, encoding);
      else if (isBytes(tag)) bytes = toBytes(tag);
      else throw new ERR_INVALID_ARG_TYPE("buffer", ["string", "ArrayBuffer", "Buffer", "TypedArray", "DataView"], tag);
      if (this[kState].finalized || !op_crypto_cipher_set_tag(this[kHandle], bytes)) {
        throw new ERR_CRYPTO_INVALID_STATE("setAuthTag");
      }
      return this;
    };
  }
}

function Cipheriv(cipher, key, iv, options) {
  if (!(this instanceof Cipheriv)) return new Cipheriv(cipher, key, iv, options);
  create(this, cipher, key, iv, options, true);
}
define(Cipheriv, true);

function Decipheriv(cipher, key, iv, options) {
  if (!(this instanceof Decipheriv)) return new Decipheriv(cipher, key, iv, options);
  create(this, cipher, key, iv, options, false);
}
define(Decipheriv, false);

// The key and IV that a password makes with the deprecated classes: MD5, once, unsalted.
function fromPassword(self, cipher, password, options, encrypt) {
  validateString(cipher, "cipher");
  password = bytesOf(password, "password");
  const text = op_crypto_cipher_info(cipher, 0, -1, -1);
  if (text === "") throw new ERR_CRYPTO_UNKNOWN_CIPHER();
  const { keyLength, ivLength = 0, mode } = JSON.parse(text);
  let last = NOTHING;
  let all = NOTHING;
  while (all.length < keyLength + ivLength) {
    last = op_crypto_hash_oneshot("md5", Buffer.concat([last, password]));
    all = Buffer.concat([all, last]);
  }
  const iv = ivLength === 0 ? null : all.subarray(keyLength, keyLength + ivLength);
  create(self, cipher, all.subarray(0, keyLength), iv, options, encrypt);
  if (encrypt && ["ctr", "gcm", "ccm"].includes(mode) && typeof process === "object" && typeof process.emitWarning === "function") {
    process.emitWarning(`Use Cipheriv for counter mode of ${cipher}`);
  }
}

function Cipher(cipher, password, options) {
  if (!(this instanceof Cipher)) return new Cipher(cipher, password, options);
  fromPassword(this, cipher, password, options, true);
}
define(Cipher, true);

function Decipher(cipher, password, options) {
  if (!(this instanceof Decipher)) return new Decipher(cipher, password, options);
  fromPassword(this, cipher, password, options, false);
}
define(Decipher, false);

let names;
function getCiphers() {
  names ??= op_crypto_cipher_names();
  return [...names];
}

function getCipherInfo(nameOrNid, options) {
  if (typeof nameOrNid !== "string" && typeof nameOrNid !== "number") {
    throw new ERR_INVALID_ARG_TYPE("nameOrNid", ["string", "number"], nameOrNid);
  }
  if (typeof nameOrNid === "number") validateInt32(nameOrNid, "nameOrNid");
  let keyLength = -1;
  let ivLength = -1;
  if (options !== undefined) {
    validateObject(options, "options");
    ({ keyLength = -1, ivLength = -1 } = options);
    if (options.keyLength !== undefined) validateInt32(options.keyLength, "options.keyLength");
    if (options.ivLength !== undefined) validateInt32(options.ivLength, "options.ivLength");
  }
  // Given and negative is no length.
  if (options?.keyLength < 0 || options?.ivLength < 0) return undefined;
  const [name, nid] = typeof nameOrNid === "string" ? [nameOrNid, 0] : ["", nameOrNid];
  if (name === "" && nid <= 0) return undefined;
  const text = op_crypto_cipher_info(name, nid, keyLength, ivLength);
  if (text === "") return undefined;
  const info = JSON.parse(text);
  if (info.name !== undefined) info.name = info.name.toLowerCase();
  return info;
}

module.exports = { Cipher, Cipheriv, Decipher, Decipheriv, getCipherInfo, getCiphers };
