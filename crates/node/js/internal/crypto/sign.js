// Sign, Verify, sign(), verify(), and RSA encryption.

const {
  op_crypto_hash_digest, op_crypto_hash_new, op_crypto_hash_update, op_crypto_rsa, op_crypto_sign, op_crypto_verify,
} = internal.ops;
const { Writable } = require("stream");
const {
  ERR_CRYPTO_SIGN_KEY_REQUIRED, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE,
} = require("internal/crypto/errors");
const {
  bytesOf, fromString, isBytes, output, toBuffer, toBytes, validateEncoding, viewOf,
} = require("internal/crypto/bytes");
const { runAsync, runSync } = require("internal/crypto/jobs");
const { isKeyObject, privateHandle, publicHandle } = require("internal/crypto/keys");
const { validateFunction, validateInt32, validateString } = require("internal/validators");
const constants = require("internal/crypto/constants");

// What stands for "not given".
const NONE = -2147483648;
const NOTHING = new Uint8Array(0);

const kHash = Symbol("kHash");
const kName = Symbol("kName");

function padding(options) {
  const { padding: value } = options;
  if (value === undefined) return NONE;
  if (value === value >> 0) return value;
  throw new ERR_INVALID_ARG_VALUE("options.padding", value);
}

function saltLength(options) {
  const { saltLength: value } = options;
  if (value === undefined) return NONE;
  if (value === value >> 0) return value;
  throw new ERR_INVALID_ARG_VALUE("options.saltLength", value);
}

// True for r and s side by side.
function dsaEncoding(options) {
  if (typeof options !== "object") return false;
  const { dsaEncoding: value } = options;
  if (value === undefined || value === "der") return false;
  if (value === "ieee-p1363") return true;
  throw new ERR_INVALID_ARG_VALUE("options.dsaEncoding", value);
}

function optionsOf(key) {
  return typeof key === "object" && key !== null && !isKeyObject(key) && !isBytes(key) ? key : {};
}

function invalidDigest() {
  const error = new Error("Invalid digest");
  error.code = "ERR_CRYPTO_INVALID_DIGEST";
  return error;
}

function init(self, algorithm, options) {
  validateString(algorithm, "algorithm");
  try {
    self[kHash] = op_crypto_hash_new(algorithm, -1);
  } catch {
    throw invalidDigest();
  }
  self[kName] = algorithm;
  Writable.call(self, options);
}

function Sign(algorithm, options) {
  if (!(this instanceof Sign)) return new Sign(algorithm, options);
  init(this, algorithm, options);
}
Object.setPrototypeOf(Sign.prototype, Writable.prototype);
Object.setPrototypeOf(Sign, Writable);

Sign.prototype._write = function _write(chunk, encoding, callback) {
  try {
    this.update(chunk, encoding);
  } catch (error) {
    return callback(error);
  }
  callback();
};

Sign.prototype.update = function update(data, encoding) {
  let bytes;
  if (typeof data === "string") {
    validateEncoding(data, encoding);
    bytes = fromString(data, encoding);
  } else bytes = viewOf(data, "data");
  op_crypto_hash_update(this[kHash], bytes);
  return this;
};

Sign.prototype.sign = function sign(options, encoding) {
  if (!options) throw new ERR_CRYPTO_SIGN_KEY_REQUIRED();
  const handle = privateHandle(options);
  const own = optionsOf(options);
  const [pad, salt, plain] = [padding(own), saltLength(own), dsaEncoding(own)];
  const digest = op_crypto_hash_digest(this[kHash]);
  const signature = runSync(op_crypto_sign(handle, this[kName], digest, true, pad, salt, plain));
  return output(signature, encoding);
};

function Verify(algorithm, options) {
  if (!(this instanceof Verify)) return new Verify(algorithm, options);
  init(this, algorithm, options);
}
Object.setPrototypeOf(Verify.prototype, Writable.prototype);
Object.setPrototypeOf(Verify, Writable);

Verify.prototype._write = Sign.prototype._write;
Verify.prototype.update = Sign.prototype.update;

Verify.prototype.verify = function verify(options, signature, encoding) {
  const handle = publicHandle(options);
  const own = optionsOf(options);
  const [pad, salt, plain] = [padding(own), saltLength(own), dsaEncoding(own)];
  const bytes = bytesOf(signature, "signature", encoding);
  const digest = op_crypto_hash_digest(this[kHash]);
  return runSync(op_crypto_verify(handle, this[kName], digest, true, pad, salt, plain, bytes));
};

function digestName(algorithm) {
  if (algorithm === null || algorithm === undefined) return "";
  validateString(algorithm, "algorithm");
  return algorithm;
}

function digestExists(name) {
  try {
    op_crypto_hash_new(name, -1);
    return true;
  } catch {
    return false;
  }
}

function invalidOaepDigest() {
  const error = new Error("error:03000098:digital envelope routines::invalid digest");
  error.library = "digital envelope routines";
  error.reason = "invalid digest";
  error.code = "ERR_OSSL_EVP_INVALID_DIGEST";
  return error;
}

function checkDigest(name) {
  if (name !== "" && !digestExists(name)) {
    const error = new TypeError(`Invalid digest: ${name}`);
    error.code = "ERR_CRYPTO_INVALID_DIGEST";
    throw error;
  }
}

function dataOf(data) {
  return toBytes(bytesOf(data, "data", undefined, ["ArrayBuffer", "Buffer", "TypedArray", "DataView"]));
}

function signOneShot(algorithm, data, key, callback) {
  const name = digestName(algorithm);
  if (callback !== undefined) validateFunction(callback, "callback");
  const bytes = dataOf(data);
  if (!key) throw new ERR_CRYPTO_SIGN_KEY_REQUIRED();
  const own = optionsOf(key);
  const [pad, salt, plain] = [padding(own), saltLength(own), dsaEncoding(own)];
  const handle = privateHandle(key);
  checkDigest(name);
  const work = op_crypto_sign(handle, name, bytes, false, pad, salt, plain);
  if (callback === undefined) return runSync(work, toBuffer);
  runAsync(work, callback, toBuffer);
}

function verifyOneShot(algorithm, data, key, signature, callback) {
  const name = digestName(algorithm);
  if (callback !== undefined) validateFunction(callback, "callback");
  const bytes = dataOf(data);
  const own = optionsOf(key);
  const [pad, salt, plain] = [padding(own), saltLength(own), dsaEncoding(own)];
  if (!isBytes(signature)) {
    throw new ERR_INVALID_ARG_TYPE("signature", ["ArrayBuffer", "Buffer", "TypedArray", "DataView"], signature);
  }
  const handle = publicHandle(key);
  checkDigest(name);
  const work = op_crypto_verify(handle, name, bytes, false, pad, salt, plain, toBytes(signature));
  if (callback === undefined) return runSync(work);
  runAsync(work, callback);
}

function rsa(operation, defaultPadding, prepare) {
  return (options, buffer) => {
    const own = optionsOf(options);
    const { encoding } = own;
    const pad = own.padding ?? defaultPadding;
    validateInt32(pad, "options.padding");
    const { oaepHash, oaepLabel } = own;
    if (oaepHash !== undefined) {
      validateString(oaepHash, "key.oaepHash");
      if (!digestExists(oaepHash)) throw invalidOaepDigest();
    }
    const label = oaepLabel === undefined ? NOTHING : bytesOf(oaepLabel, "key.oaepLabel", encoding);
    const bytes = bytesOf(buffer, "buffer", encoding);
    const handle = prepare(options);
    return toBuffer(op_crypto_rsa(handle, operation, bytes, pad, oaepHash ?? "", label));
  };
}

const publicEncrypt = rsa(0, constants.RSA_PKCS1_OAEP_PADDING, publicHandle);
const privateDecrypt = rsa(1, constants.RSA_PKCS1_OAEP_PADDING, privateHandle);
const privateEncrypt = rsa(2, constants.RSA_PKCS1_PADDING, privateHandle);
const publicDecrypt = rsa(3, constants.RSA_PKCS1_PADDING, publicHandle);

module.exports = {
  privateDecrypt,
  privateEncrypt,
  publicDecrypt,
  publicEncrypt,
  Sign,
  signOneShot,
  Verify,
  verifyOneShot,
};
