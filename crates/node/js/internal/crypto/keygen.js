// generateKeyPair, generateKey.

const {
  op_crypto_dh_group, op_crypto_generate_dh, op_crypto_generate_dsa, op_crypto_generate_ec, op_crypto_generate_okp,
  op_crypto_generate_rsa, op_crypto_hash_new, op_crypto_key_secret, op_crypto_key_to_jwk, op_crypto_random_fill,
} = internal.ops;
const { assertInHandler } = internal.context;
const {
  ERR_CRYPTO_INVALID_DIGEST, ERR_CRYPTO_UNKNOWN_DH_GROUP, ERR_INCOMPATIBLE_OPTION_PAIR, ERR_INVALID_ARG_TYPE,
  ERR_INVALID_ARG_VALUE, ERR_MISSING_OPTION,
} = require("internal/crypto/errors");
const { isBytes, toBytes } = require("internal/crypto/bytes");
const { runAsync, runSync } = require("internal/crypto/jobs");
const {
  EXPORT_PRIVATE, EXPORT_PUBLIC, exported, keyObject, parsePrivateKeyEncoding, parsePublicKeyEncoding,
} = require("internal/crypto/keys");
const {
  validateFunction, validateInt32, validateInteger, validateObject, validateOneOf, validateString, validateUint32,
} = require("internal/validators");

const NOTHING = new Uint8Array(0);

function encodings(keyType, options) {
  let publicEncoding;
  let privateEncoding;
  const { publicKeyEncoding, privateKeyEncoding } = options;
  if (publicKeyEncoding === undefined || publicKeyEncoding === null) publicEncoding = undefined;
  else if (typeof publicKeyEncoding === "object") {
    publicEncoding = parsePublicKeyEncoding(publicKeyEncoding, keyType, "publicKeyEncoding");
  } else throw new ERR_INVALID_ARG_VALUE("options.publicKeyEncoding", publicKeyEncoding);
  if (privateKeyEncoding === undefined || privateKeyEncoding === null) privateEncoding = undefined;
  else if (typeof privateKeyEncoding === "object") {
    privateEncoding = parsePrivateKeyEncoding(privateKeyEncoding, keyType, "privateKeyEncoding");
  } else throw new ERR_INVALID_ARG_VALUE("options.privateKeyEncoding", privateKeyEncoding);
  return { publicEncoding, privateEncoding };
}

// An option that has an old name: both must not differ.
function renamed(options, name, old) {
  const value = options[name];
  const former = options[old];
  if (former === undefined) return value;
  validateString(former, `options.${old}`);
  if (typeof process === "object" && typeof process.emitWarning === "function") {
    process.emitWarning(`"options.${old}" is deprecated, use "options.${name}" instead.`, "DeprecationWarning", "DEP0154");
  }
  if (value !== undefined && value !== former) throw new ERR_INVALID_ARG_VALUE(`options.${old}`, former);
  return former;
}

function checkDigest(name, what) {
  try {
    op_crypto_hash_new(name, -1);
  } catch {
    const error = new ERR_CRYPTO_INVALID_DIGEST(name);
    error.message = `Invalid ${what}: ${name}`;
    throw error;
  }
}

function rsaJob(type, options) {
  validateObject(options, "options");
  const { modulusLength } = options;
  validateUint32(modulusLength, "options.modulusLength");
  let { publicExponent } = options;
  if (publicExponent === undefined || publicExponent === null) publicExponent = 0x10001;
  else validateUint32(publicExponent, "options.publicExponent");
  if (type === "rsa") return () => op_crypto_generate_rsa(modulusLength, publicExponent, false, "", "", -1);
  const { saltLength } = options;
  if (saltLength !== undefined && saltLength !== null) validateInt32(saltLength, "options.saltLength", 0);
  const { hashAlgorithm, mgf1HashAlgorithm } = options;
  if (hashAlgorithm !== undefined) validateString(hashAlgorithm, "options.hashAlgorithm");
  if (mgf1HashAlgorithm !== undefined) validateString(mgf1HashAlgorithm, "options.mgf1HashAlgorithm");
  const hash = renamed(options, "hashAlgorithm", "hash");
  const mgf = renamed(options, "mgf1HashAlgorithm", "mgf1Hash");
  if (hash !== undefined) checkDigest(hash, "digest");
  if (mgf !== undefined) checkDigest(mgf, "MGF1 digest");
  return () => op_crypto_generate_rsa(modulusLength, publicExponent, true, hash ?? "", mgf ?? "", saltLength ?? -1);
}

function dhJob(options) {
  validateObject(options, "options");
  const { group, primeLength, prime, generator } = options;
  if (group !== undefined && group !== null) {
    if (prime != null) throw new ERR_INCOMPATIBLE_OPTION_PAIR("group", "prime");
    if (primeLength != null) throw new ERR_INCOMPATIBLE_OPTION_PAIR("group", "primeLength");
    if (generator != null) throw new ERR_INCOMPATIBLE_OPTION_PAIR("group", "generator");
    validateString(group, "options.group");
    const known = op_crypto_dh_group(group.toLowerCase());
    if (known.length === 0) throw new ERR_CRYPTO_UNKNOWN_DH_GROUP();
    return () => op_crypto_generate_dh(known, 0, 2);
  }
  if (prime != null) {
    if (primeLength != null) throw new ERR_INCOMPATIBLE_OPTION_PAIR("prime", "primeLength");
    if (!isBytes(prime)) throw new ERR_INVALID_ARG_TYPE("options.prime", ["Buffer", "TypedArray", "DataView", "ArrayBuffer"], prime);
  } else if (primeLength != null) validateInt32(primeLength, "options.primeLength", 0);
  else throw new ERR_MISSING_OPTION("At least one of the group, prime, or primeLength options");
  if (generator != null) validateInt32(generator, "options.generator", 0);
  const bytes = prime != null ? toBytes(prime) : NOTHING;
  return () => op_crypto_generate_dh(bytes, primeLength ?? 0, generator ?? 2);
}

function pairJob(type, options) {
  validateString(type, "type");
  // Options may be left out, but they are never something else.
  if (options !== undefined) validateObject(options, "options");
  const { publicEncoding, privateEncoding } = encodings(type, options ?? {});
  let make;
  switch (type) {
    case "rsa":
    case "rsa-pss":
      make = rsaJob(type, options);
      break;
    case "dsa": {
      validateObject(options, "options");
      const { modulusLength } = options;
      validateUint32(modulusLength, "options.modulusLength");
      let { divisorLength } = options;
      if (divisorLength === undefined || divisorLength === null) divisorLength = -1;
      else validateInt32(divisorLength, "options.divisorLength", 0);
      make = () => op_crypto_generate_dsa(modulusLength, divisorLength);
      break;
    }
    case "ec": {
      validateObject(options, "options");
      const { namedCurve } = options;
      validateString(namedCurve, "options.namedCurve");
      const { paramEncoding } = options;
      if (paramEncoding !== undefined && paramEncoding !== null && paramEncoding !== "named" && paramEncoding !== "explicit") {
        throw new ERR_INVALID_ARG_VALUE("options.paramEncoding", paramEncoding);
      }
      make = () => op_crypto_generate_ec(namedCurve, paramEncoding === "explicit");
      break;
    }
    case "ed25519":
    case "ed448":
    case "x25519":
    case "x448":
      make = () => op_crypto_generate_okp(type);
      break;
    case "dh":
      make = dhJob(options);
      break;
    default:
      throw new ERR_INVALID_ARG_VALUE("type", type, "must be a supported key type");
  }
  return { make, publicEncoding, privateEncoding };
}

function encode(handle, encoding, numbers) {
  if (encoding === undefined) return keyObject(handle);
  if (encoding.format === "jwk") return JSON.parse(op_crypto_key_to_jwk(handle));
  return exported(handle, numbers[encoding.type], encoding.format, encoding.cipher, encoding.passphrase);
}

function finish({ publicEncoding, privateEncoding }) {
  return ([publicHandle, privateHandle]) => [
    encode(publicHandle, publicEncoding, EXPORT_PUBLIC),
    encode(privateHandle, privateEncoding, EXPORT_PRIVATE),
  ];
}

function generateKeyPair(type, options, callback) {
  if (typeof options === "function") {
    callback = options;
    options = undefined;
  }
  validateFunction(callback, "callback");
  const plan = pairJob(type, options);
  assertInHandler();
  let job;
  try {
    job = plan.make();
  } catch (error) {
    // What the library refuses is told to the callback; arguments that are wrong are thrown.
    if (!error.code?.startsWith("ERR_OSSL")) throw error;
    queueMicrotask(() => callback(error));
    return;
  }
  runAsync(job, callback, finish(plan));
}

Object.defineProperty(generateKeyPair, Symbol.for("nodejs.util.promisify.custom"), {
  value: function generateKeyPair_(type, options) {
    return new Promise((resolve, reject) => {
      generateKeyPair(type, options, (error, publicKey, privateKey) => {
        if (error) reject(error);
        else resolve({ publicKey, privateKey });
      });
    });
  },
  enumerable: false,
  configurable: true,
});

function generateKeyPairSync(type, options) {
  const plan = pairJob(type, options);
  assertInHandler();
  const [publicKey, privateKey] = finish(plan)(runSync(plan.make()));
  return { publicKey, privateKey };
}

function secretLength(type, options) {
  validateString(type, "type");
  validateObject(options, "options");
  const { length } = options;
  if (type === "hmac") validateInteger(length, "options.length", 8, 2 ** 31 - 1);
  else if (type === "aes") validateOneOf(length, "options.length", [128, 192, 256]);
  else throw new ERR_INVALID_ARG_VALUE("type", type, "must be a supported key type");
  return length;
}

function secret(bits) {
  assertInHandler();
  const bytes = new Uint8Array(Math.floor(bits / 8));
  if (bytes.length > 0) op_crypto_random_fill(bytes);
  return keyObject(op_crypto_key_secret(bytes));
}

function generateKey(type, options, callback) {
  if (typeof options === "function") {
    callback = options;
    options = undefined;
  }
  validateFunction(callback, "callback");
  const key = secret(secretLength(type, options));
  queueMicrotask(() => callback(undefined, key));
}

function generateKeySync(type, options) {
  return secret(secretLength(type, options));
}

module.exports = { generateKey, generateKeyPair, generateKeyPairSync, generateKeySync };
