// DiffieHellman, DiffieHellmanGroup, ECDH, diffieHellman().

const {
  op_crypto_agree, op_crypto_curves, op_crypto_dh_check, op_crypto_dh_compute, op_crypto_dh_group, op_crypto_dh_new_prime,
  op_crypto_dh_power, op_crypto_dh_random, op_crypto_ecdh_check, op_crypto_ecdh_compute, op_crypto_ecdh_convert,
  op_crypto_ecdh_generate, op_crypto_ecdh_public,
} = internal.ops;
const { assertInHandler } = internal.context;
const { Buffer } = require("buffer");
const {
  ERR_CRYPTO_ECDH_INVALID_FORMAT, ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY, ERR_CRYPTO_INCOMPATIBLE_KEY,
  ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE, ERR_CRYPTO_UNKNOWN_DH_GROUP, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE,
} = require("internal/crypto/errors");
const { bytesOf, isBytes, output, toBuffer, toBytes } = require("internal/crypto/bytes");
const { runSync } = require("internal/crypto/jobs");
const { handleOf, isKeyObject } = require("internal/crypto/keys");
const { validateInt32, validateObject, validateString } = require("internal/validators");

const kPrime = Symbol("kPrime");
const kGenerator = Symbol("kGenerator");
const kPrivate = Symbol("kPrivate");
const kPublic = Symbol("kPublic");
const kVerifyError = Symbol("kVerifyError");
const kCurve = Symbol("kCurve");

const DEFAULT_GENERATOR = 2;

function numberBytes(number) {
  const bytes = [];
  for (let rest = number; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.from(bytes.length === 0 ? [0] : bytes);
}

function badGenerator() {
  const error = new Error("error:02800065:Diffie-Hellman routines::bad generator");
  error.library = "Diffie-Hellman routines";
  error.reason = "bad generator";
  error.code = "ERR_OSSL_DH_BAD_GENERATOR";
  return error;
}

function modulusTooSmall() {
  const error = new Error("error:0280007E:Diffie-Hellman routines::modulus too small");
  error.library = "Diffie-Hellman routines";
  error.reason = "modulus too small";
  error.code = "ERR_OSSL_DH_MODULUS_TOO_SMALL";
  return error;
}

function setUp(self, prime, generator) {
  self[kPrime] = prime;
  self[kGenerator] = generator;
  self[kPrivate] = undefined;
  self[kPublic] = undefined;
}

function DiffieHellman(sizeOrKey, keyEncoding, generator, genEncoding) {
  if (!(this instanceof DiffieHellman)) return new DiffieHellman(sizeOrKey, keyEncoding, generator, genEncoding);
  if (typeof sizeOrKey !== "number" && typeof sizeOrKey !== "string" && !isBytes(sizeOrKey)) {
    throw new ERR_INVALID_ARG_TYPE(
      "sizeOrKey",
      ["number", "string", "ArrayBuffer", "Buffer", "TypedArray", "DataView"],
      sizeOrKey,
    );
  }
  if (typeof sizeOrKey === "number") validateInt32(sizeOrKey, "sizeOrKey");
  // The encoding may be left out.
  if (keyEncoding && !Buffer.isEncoding(keyEncoding) && keyEncoding !== "buffer") {
    genEncoding = generator;
    generator = keyEncoding;
    keyEncoding = false;
  }
  let generatorNumber;
  let generatorBytes;
  if (!generator) {
    generatorNumber = DEFAULT_GENERATOR;
  } else if (typeof generator === "number") {
    validateInt32(generator, "generator");
    generatorNumber = generator;
    if (generator <= 0 || generator >= 0x7fffffff) throw badGenerator();
  } else if (typeof generator === "string") generatorBytes = toBytes(bytesOf(generator, "generator", genEncoding));
  else if (isBytes(generator)) generatorBytes = toBytes(generator);
  else {
    throw new ERR_INVALID_ARG_TYPE("generator", ["number", "string", "ArrayBuffer", "Buffer", "TypedArray", "DataView"], generator);
  }
  if (generatorBytes === undefined) {
    if (generatorNumber < 2) throw badGenerator();
    generatorBytes = numberBytes(generatorNumber);
  } else {
    // A generator of zero or one makes no group.
    const significant = generatorBytes.findIndex((byte) => byte !== 0);
    if (significant === -1 || (significant === generatorBytes.length - 1 && generatorBytes[significant] < 2)) throw badGenerator();
  }
  if (typeof sizeOrKey === "number") {
    assertInHandler();
    if (sizeOrKey < 2) {
      throw modulusTooSmall();
    }
    const prime = op_crypto_dh_new_prime(sizeOrKey, generatorBytes.length === 1 ? generatorBytes[0] : 2);
    setUp(this, prime, generatorBytes);
  } else {
    const prime = toBytes(bytesOf(sizeOrKey, "sizeOrKey", keyEncoding || undefined)).slice();
    setUp(this, prime, generatorBytes.slice());
  }
}

function DiffieHellmanGroup(name) {
  if (!(this instanceof DiffieHellmanGroup)) return new DiffieHellmanGroup(name);
  validateString(name, "name");
  const prime = op_crypto_dh_group(name.toLowerCase());
  if (prime.length === 0) throw new ERR_CRYPTO_UNKNOWN_DH_GROUP();
  setUp(this, prime, Uint8Array.of(2));
  this[kVerifyError] = 0;
}

function checked(self) {
  self[kVerifyError] ??= op_crypto_dh_check(self[kPrime], self[kGenerator]);
  return self[kVerifyError];
}

function noKey(which) {
  const error = new Error(`No ${which} key - did you forget to generate one?`);
  error.code = `ERR_CRYPTO_INVALID_STATE`;
  return error;
}

const methods = {
  generateKeys(encoding) {
    assertInHandler();
    this[kPrivate] ??= op_crypto_dh_random(this[kPrime]);
    this[kPublic] = op_crypto_dh_power(this[kPrime], this[kGenerator], this[kPrivate]);
    return output(this[kPublic].slice(), encoding);
  },
  computeSecret(key, inEnc, outEnc) {
    const other = toBytes(bytesOf(key, "otherPublicKey", inEnc));
    if (this[kPrivate] === undefined) throw noKey("private");
    return output(op_crypto_dh_compute(this[kPrime], this[kPrivate], other), outEnc);
  },
  getPrime(encoding) {
    return output(this[kPrime].slice(), encoding);
  },
  getGenerator(encoding) {
    return output(this[kGenerator].slice(), encoding);
  },
  getPublicKey(encoding) {
    if (this[kPublic] === undefined) throw noKey("public");
    return output(this[kPublic].slice(), encoding);
  },
  getPrivateKey(encoding) {
    if (this[kPrivate] === undefined) throw noKey("private");
    return output(this[kPrivate].slice(), encoding);
  },
};

for (const Class of [DiffieHellman, DiffieHellmanGroup]) {
  for (const [name, method] of Object.entries(methods)) {
    Class.prototype[name] = { [name](...args) { return Reflect.apply(method, this, args); } }[name];
  }
  Object.defineProperty(Class.prototype, "verifyError", {
    get() {
      return this[kPrime] === undefined ? undefined : checked(this);
    },
    enumerable: true,
    configurable: true,
  });
}

DiffieHellman.prototype.setPublicKey = function setPublicKey(key, encoding) {
  this[kPublic] = toBytes(bytesOf(key, "key", encoding)).slice();
  return this;
};

DiffieHellman.prototype.setPrivateKey = function setPrivateKey(key, encoding) {
  this[kPrivate] = toBytes(bytesOf(key, "key", encoding)).slice();
  return this;
};

// --- ECDH

const FORMS = { compressed: 2, uncompressed: 4, hybrid: 6 };

function formOf(format) {
  if (!format) return FORMS.uncompressed;
  const form = Object.hasOwn(FORMS, format) ? FORMS[format] : undefined;
  if (form === undefined) throw new ERR_CRYPTO_ECDH_INVALID_FORMAT(format);
  return form;
}

function ECDH(curve) {
  if (!(this instanceof ECDH)) return new ECDH(curve);
  validateString(curve, "curve");
  op_crypto_ecdh_check(curve);
  this[kCurve] = curve;
  this[kPrivate] = undefined;
  this[kPublic] = undefined;
}

function failed(message, code) {
  const error = new Error(message);
  if (code !== undefined) error.code = code;
  return error;
}

ECDH.prototype.generateKeys = function generateKeys(encoding, format) {
  assertInHandler();
  this[kPrivate] = op_crypto_ecdh_generate(this[kCurve]);
  this[kPublic] = op_crypto_ecdh_public(this[kCurve], this[kPrivate], FORMS.uncompressed);
  return this.getPublicKey(encoding, format);
};

ECDH.prototype.computeSecret = function computeSecret(key, inEnc, outEnc) {
  const other = toBytes(bytesOf(key, "otherPublicKey", inEnc));
  if (this[kPrivate] === undefined) throw failed("Failed to get ECDH private key", "ERR_CRYPTO_OPERATION_FAILED");
  const own = op_crypto_ecdh_public(this[kCurve], this[kPrivate], FORMS.uncompressed);
  // A public key that was set and is not the private key's.
  if (this[kPublic] !== undefined && Buffer.compare(own, this[kPublic]) !== 0) {
    throw failed("Invalid key pair", "ERR_CRYPTO_INVALID_KEYPAIR");
  }
  if (op_crypto_ecdh_convert(this[kCurve], other, FORMS.uncompressed).length === 0) {
    throw new ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY();
  }
  return output(op_crypto_ecdh_compute(this[kCurve], this[kPrivate], other), outEnc);
};

ECDH.prototype.getPublicKey = function getPublicKey(encoding, format) {
  const form = formOf(format);
  if (this[kPublic] === undefined) throw failed("Failed to get ECDH public key", "ERR_CRYPTO_OPERATION_FAILED");
  return output(op_crypto_ecdh_convert(this[kCurve], this[kPublic], form), encoding);
};

ECDH.prototype.getPrivateKey = function getPrivateKey(encoding) {
  if (this[kPrivate] === undefined) throw failed("Failed to get ECDH private key", "ERR_CRYPTO_OPERATION_FAILED");
  return output(this[kPrivate].slice(), encoding);
};

ECDH.prototype.setPrivateKey = function setPrivateKey(key, encoding) {
  const bytes = toBytes(bytesOf(key, "key", encoding)).slice();
  const point = op_crypto_ecdh_public(this[kCurve], bytes, FORMS.uncompressed);
  if (point.length === 0) throw failed("Private key is not valid for specified curve.", "ERR_CRYPTO_INVALID_KEYTYPE");
  this[kPrivate] = bytes;
  this[kPublic] = point;
  return this;
};

ECDH.prototype.setPublicKey = function setPublicKey(key, encoding) {
  const bytes = toBytes(bytesOf(key, "key", encoding));
  const point = op_crypto_ecdh_convert(this[kCurve], bytes, FORMS.uncompressed);
  if (point.length === 0) throw failed("Failed to convert Buffer to EC_POINT", "ERR_CRYPTO_OPERATION_FAILED");
  this[kPublic] = point;
  return this;
};

ECDH.convertKey = function convertKey(key, curve, inEnc, outEnc, format) {
  validateString(curve, "curve");
  key = toBytes(bytesOf(key, "key", inEnc));
  op_crypto_ecdh_check(curve);
  const form = formOf(format);
  const point = op_crypto_ecdh_convert(curve, key, form);
  if (point.length === 0) throw failed("Failed to convert Buffer to EC_POINT", "ERR_CRYPTO_OPERATION_FAILED");
  return output(point, outEnc);
};

function getCurves() {
  return op_crypto_curves();
}

const AGREEING = ["dh", "ec", "x448", "x25519"];

function diffieHellman(options) {
  validateObject(options, "options");
  const { privateKey, publicKey } = options;
  if (!isKeyObject(privateKey)) throw new ERR_INVALID_ARG_VALUE("options.privateKey", privateKey);
  if (!isKeyObject(publicKey)) throw new ERR_INVALID_ARG_VALUE("options.publicKey", publicKey);
  if (privateKey.type !== "private") throw new ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE(privateKey.type, "private");
  if (publicKey.type !== "public" && publicKey.type !== "private") {
    throw new ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE(publicKey.type, "private or public");
  }
  const privateType = privateKey.asymmetricKeyType;
  const publicType = publicKey.asymmetricKeyType;
  if (privateType !== publicType || !AGREEING.includes(privateType)) {
    throw new ERR_CRYPTO_INCOMPATIBLE_KEY("key types for Diffie-Hellman", `${privateType} and ${publicType}`);
  }
  return runSync(op_crypto_agree(handleOf(privateKey), handleOf(publicKey)), toBuffer);
}

module.exports = { DiffieHellman, diffieHellman, DiffieHellmanGroup, ECDH, getCurves };
