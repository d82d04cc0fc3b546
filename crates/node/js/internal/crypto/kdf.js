// pbkdf2, scrypt, hkdf.

const { op_crypto_hkdf, op_crypto_pbkdf2, op_crypto_scrypt } = internal.ops;
const {
  ERR_CRYPTO_INVALID_DIGEST, ERR_CRYPTO_INVALID_KEYLEN, ERR_CRYPTO_INVALID_SCRYPT_PARAMS, ERR_INVALID_ARG_TYPE,
  ERR_OUT_OF_RANGE,
} = require("internal/crypto/errors");
const { bytesOf, isBytes, toBuffer } = require("internal/crypto/bytes");
const { runAsync, runSync } = require("internal/crypto/jobs");
const { createSecretKey, isCryptoKey, isKeyObject, secretBytes } = require("internal/crypto/keys");
const {
  validateFunction, validateInt32, validateInteger, validateString, validateUint32,
} = require("internal/validators");

// Ops name the digest that is none in the key derivations' own way.
function job(make, digest) {
  try {
    return make();
  } catch (error) {
    if (error.code === "ERR_CRYPTO_INVALID_DIGEST") throw new ERR_CRYPTO_INVALID_DIGEST(digest);
    throw error;
  }
}

function pbkdf2Job(password, salt, iterations, keylen, digest) {
  validateString(digest, "digest");
  password = bytesOf(password, "password");
  salt = bytesOf(salt, "salt");
  validateInt32(iterations, "iterations", 1);
  validateInt32(keylen, "keylen", 0);
  return job(() => op_crypto_pbkdf2(password, salt, iterations, keylen, digest), digest);
}

function pbkdf2(password, salt, iterations, keylen, digest, callback) {
  if (typeof digest === "function") {
    callback = digest;
    digest = undefined;
  }
  const work = pbkdf2Job(password, salt, iterations, keylen, digest);
  validateFunction(callback, "callback");
  runAsync(work, callback, toBuffer);
}

function pbkdf2Sync(password, salt, iterations, keylen, digest) {
  return runSync(pbkdf2Job(password, salt, iterations, keylen, digest), toBuffer);
}

const SCRYPT_DEFAULTS = { N: 16384, r: 8, p: 1, maxmem: 32 << 20 };

// An option with its long name; both at once are an error.
function either(options, short, long) {
  const a = options[short];
  const b = options[long];
  if (a !== undefined && b !== undefined) {
    const { ERR_INCOMPATIBLE_OPTION_PAIR } = require("internal/crypto/errors");
    throw new ERR_INCOMPATIBLE_OPTION_PAIR(short, long);
  }
  return a ?? b;
}

function scryptJob(password, salt, keylen, options) {
  password = bytesOf(password, "password");
  salt = bytesOf(salt, "salt");
  validateInt32(keylen, "keylen", 0);
  let { N, r, p, maxmem } = SCRYPT_DEFAULTS;
  if (options) {
    const cost = either(options, "N", "cost");
    if (cost !== undefined) {
      N = cost;
      validateUint32(N, "N");
    }
    const blockSize = either(options, "r", "blockSize");
    if (blockSize !== undefined) {
      r = blockSize;
      validateUint32(r, "r");
    }
    const parallelization = either(options, "p", "parallelization");
    if (parallelization !== undefined) {
      p = parallelization;
      validateUint32(p, "p");
    }
    if (options.maxmem !== undefined) {
      maxmem = options.maxmem;
      validateInteger(maxmem, "maxmem", 0);
    }
    if (N === 0) N = SCRYPT_DEFAULTS.N;
    if (r === 0) r = SCRYPT_DEFAULTS.r;
    if (p === 0) p = SCRYPT_DEFAULTS.p;
    if (maxmem === 0) maxmem = SCRYPT_DEFAULTS.maxmem;
  }
  try {
    return op_crypto_scrypt(password, salt, N, r, p, maxmem, keylen);
  } catch (error) {
    if (error.code !== "ERR_CRYPTO_INVALID_SCRYPT_PARAMS") throw error;
    throw new ERR_CRYPTO_INVALID_SCRYPT_PARAMS(error.message.split("params: ")[1]);
  }
}

function scrypt(password, salt, keylen, options, callback) {
  if (callback === undefined) {
    callback = options;
    options = undefined;
  }
  const work = scryptJob(password, salt, keylen, options);
  validateFunction(callback, "callback");
  runAsync(work, callback, toBuffer);
}

function scryptSync(password, salt, keylen, options) {
  return runSync(scryptJob(password, salt, keylen, options), toBuffer);
}

const HKDF_INFO_MAX = 1024;

function hkdfJob(hash, key, salt, info, length) {
  validateString(hash, "digest");
  if (!isKeyObject(key) && !isCryptoKey(key)) {
    if (typeof key !== "string" && !isBytes(key)) {
      throw new ERR_INVALID_ARG_TYPE(
        "ikm",
        ["string", "SecretKeyObject", "ArrayBuffer", "TypedArray", "DataView", "Buffer"],
        key,
      );
    }
    key = createSecretKey(key);
  }
  salt = bytesOf(salt, "salt");
  info = bytesOf(info, "info");
  validateInteger(length, "length", 0, 2 ** 31 - 1);
  if (info.byteLength > HKDF_INFO_MAX) {
    throw new ERR_OUT_OF_RANGE("info", "must not contain more than 1024 bytes", info.byteLength);
  }
  const bytes = secretBytes(key);
  try {
    return job(() => op_crypto_hkdf(hash, bytes, salt, info, length), hash);
  } catch (error) {
    if (error.code === "ERR_CRYPTO_INVALID_KEYLEN") throw new ERR_CRYPTO_INVALID_KEYLEN();
    throw error;
  }
}

function toArrayBuffer(bytes) {
  const { buffer, byteOffset, byteLength } = bytes;
  return byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
}

function hkdf(hash, key, salt, info, length, callback) {
  const work = hkdfJob(hash, key, salt, info, length);
  validateFunction(callback, "callback");
  runAsync(work, callback, toArrayBuffer);
}

function hkdfSync(hash, key, salt, info, length) {
  return runSync(hkdfJob(hash, key, salt, info, length), toArrayBuffer);
}

module.exports = { hkdf, hkdfSync, pbkdf2, pbkdf2Sync, scrypt, scryptSync };
