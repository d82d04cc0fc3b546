// KeyObject, and keys as they are given: PEM, DER, JSON Web Keys, key objects and CryptoKeys.

const {
  op_crypto_cipher_exists, op_crypto_key_equals, op_crypto_key_export, op_crypto_key_from_jwk, op_crypto_key_info,
  op_crypto_key_kind, op_crypto_key_parse, op_crypto_key_public, op_crypto_key_secret, op_crypto_key_secret_bytes,
  op_crypto_key_to_jwk,
} = internal.ops;
const {
  ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS, ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE, ERR_CRYPTO_UNKNOWN_CIPHER,
  ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE,
} = require("internal/crypto/errors");
const { ARRAY_BUFFER_TYPES, fromString, isBytes, output, toBuffer, toBytes } = require("internal/crypto/bytes");
const { validateObject, validateOneOf, validateString } = require("internal/validators");

const NOTHING = new Uint8Array(0);

// Formats and types as the ops number them.
const PARSE = { pkcs1: 1, pkcs8: 2, spki: 3, sec1: 4 };
const EXPORT_PUBLIC = { pkcs1: 0, spki: 1 };
const EXPORT_PRIVATE = { pkcs1: 2, pkcs8: 3, sec1: 4 };

// Handles that came from the ops: only they may become key objects.
const handles = new WeakSet();

class KeyObject {
  #type;
  #handle;

  constructor(type, handle) {
    if (type !== "secret" && type !== "public" && type !== "private") throw new ERR_INVALID_ARG_VALUE("type", type);
    if (!handles.has(handle)) throw new ERR_INVALID_ARG_TYPE("handle", "object", handle);
    this.#type = type;
    this.#handle = handle;
  }

  get type() {
    return this.#type;
  }

  static from(key) {
    if (!isCryptoKey(key)) throw new ERR_INVALID_ARG_TYPE("key", "CryptoKey", key);
    return fromCryptoKey(key);
  }

  equals(other) {
    if (!isKeyObject(other)) throw new ERR_INVALID_ARG_TYPE("otherKeyObject", "KeyObject", other);
    return other.type === this.#type && op_crypto_key_equals(this.#handle, handleOf(other));
  }

  // The same key for crypto.subtle.
  toCryptoKey(algorithm, extractable, keyUsages) {
    const { importCryptoKeySync } = internal.load("ext:deno_crypto/00_crypto.js");
    const [format, data] = this.#type === "secret"
      ? ["raw", this.export()]
      : this.#type === "public"
      ? ["spki", this.export({ type: "spki", format: "der" })]
      : ["pkcs8", this.export({ type: "pkcs8", format: "der" })];
    return importCryptoKeySync(format, data, algorithm, extractable, keyUsages);
  }

  static isKeyObject(value) {
    return typeof value === "object" && value !== null && #handle in value;
  }

  static handle(key) {
    return key.#handle;
  }
}
Object.defineProperty(KeyObject.prototype, Symbol.toStringTag, { value: "KeyObject", configurable: true });
Object.defineProperty(KeyObject.prototype, "type", { enumerable: true });

const isKeyObject = KeyObject.isKeyObject;
const handleOf = KeyObject.handle;
delete KeyObject.isKeyObject;
delete KeyObject.handle;

class SecretKeyObject extends KeyObject {
  get symmetricKeySize() {
    return op_crypto_key_secret_bytes(handleOf(this)).length;
  }

  export(options) {
    if (options !== undefined) {
      validateObject(options, "options");
      validateOneOf(options.format, "options.format", [undefined, "buffer", "jwk"]);
      if (options.format === "jwk") return { kty: "oct", k: secretOf(this).toString("base64url") };
    }
    return secretOf(this);
  }
}

function secretOf(key) {
  return toBuffer(op_crypto_key_secret_bytes(handleOf(key)));
}

class AsymmetricKeyObject extends KeyObject {
  #info;

  #facts() {
    if (this.#info === undefined) {
      this.#info = JSON.parse(op_crypto_key_info(handleOf(this)));
      const { details } = this.#info;
      if (typeof details.publicExponent === "string") details.publicExponent = BigInt(details.publicExponent);
    }
    return this.#info;
  }

  get asymmetricKeyType() {
    return this.#facts().type;
  }

  get asymmetricKeyDetails() {
    return { ...this.#facts().details };
  }
}

class PublicKeyObject extends AsymmetricKeyObject {
  export(options) {
    if (options?.format === "jwk") return JSON.parse(op_crypto_key_to_jwk(handleOf(this)));
    const { format, type } = parsePublicKeyEncoding(options, this.asymmetricKeyType);
    return exported(handleOf(this), EXPORT_PUBLIC[type], format, undefined, undefined);
  }
}

class PrivateKeyObject extends AsymmetricKeyObject {
  export(options) {
    if (options?.format === "jwk") {
      if (options.passphrase !== undefined) {
        throw new ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS("jwk", "does not support encryption");
      }
      return JSON.parse(op_crypto_key_to_jwk(handleOf(this)));
    }
    const { format, type, cipher, passphrase } = parsePrivateKeyEncoding(options, this.asymmetricKeyType);
    return exported(handleOf(this), EXPORT_PRIVATE[type], format, cipher, passphrase);
  }
}

function exported(handle, encoding, format, cipher, passphrase) {
  const bytes = op_crypto_key_export(handle, encoding, format === "pem", cipher ?? "", passphrase ?? NOTHING);
  return format === "pem" ? output(bytes, "latin1") : toBuffer(bytes);
}

function keyObject(handle) {
  handles.add(handle);
  const kind = op_crypto_key_kind(handle);
  if (kind === "secret") return new SecretKeyObject(kind, handle);
  return kind === "public" ? new PublicKeyObject(kind, handle) : new PrivateKeyObject(kind, handle);
}

function isCryptoKey(value) {
  return typeof globalThis.CryptoKey === "function" && value instanceof globalThis.CryptoKey;
}

function fromCryptoKey(key) {
  const { cryptoKeyExportNodeKeyMaterial } = internal.load("ext:deno_crypto/00_crypto.js");
  const material = cryptoKeyExportNodeKeyMaterial(key);
  const bytes = toBytes(material.data ?? material);
  if (key.type === "secret") return keyObject(op_crypto_key_secret(bytes));
  const isPrivate = key.type === "private";
  return keyObject(op_crypto_key_parse(isPrivate, bytes, isPrivate ? PARSE.pkcs8 : PARSE.spki, false, NOTHING));
}

// --- Encodings, as options of export and of key generation.

function option(name, objName) {
  return objName === undefined ? `options.${name}` : `options.${objName}.${name}`;
}

function parseFormat(formatStr, defaultFormat, optionName) {
  if (formatStr === undefined && defaultFormat !== undefined) return defaultFormat;
  if (formatStr === "pem" || formatStr === "der" || formatStr === "jwk") return formatStr;
  throw new ERR_INVALID_ARG_VALUE(optionName, formatStr);
}

function parseType(typeStr, required, keyType, isPublic, optionName) {
  if (typeStr === undefined && !required) return undefined;
  if (typeStr === "pkcs1") {
    if (keyType !== undefined && keyType !== "rsa") {
      throw new ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS(typeStr, "can only be used for RSA keys");
    }
    return typeStr;
  }
  if (typeStr === "spki" && isPublic !== false) return typeStr;
  if (typeStr === "pkcs8" && isPublic !== true) return typeStr;
  if (typeStr === "sec1" && isPublic !== true) {
    if (keyType !== undefined && keyType !== "ec") {
      throw new ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS(typeStr, "can only be used for EC keys");
    }
    return typeStr;
  }
  throw new ERR_INVALID_ARG_VALUE(optionName, typeStr);
}

function isStringOrBuffer(value) {
  return typeof value === "string" || isBytes(value);
}

// isInput: a key that is read, so that format and type may be left out.
function parseEncoding(enc, keyType, isPublic, objName, isInput) {
  const format = parseFormat(enc.format, isInput ? "pem" : undefined, option("format", objName));
  const type = format === "jwk"
    ? undefined
    : parseType(enc.type, isInput ? format === "der" : true, keyType, isPublic, option("type", objName));
  const { cipher, encoding } = enc;
  let { passphrase } = enc;
  if (isPublic !== true) {
    if (!isInput) {
      if (cipher != null) {
        if (typeof cipher !== "string") throw new ERR_INVALID_ARG_VALUE(option("cipher", objName), cipher);
        if (format === "der" && (type === "pkcs1" || type === "sec1")) {
          throw new ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS(type, "does not support encryption");
        }
      } else if (passphrase !== undefined) {
        throw new ERR_INVALID_ARG_VALUE(option("cipher", objName), cipher);
      }
    }
    if ((isInput && passphrase !== undefined && !isStringOrBuffer(passphrase)) ||
        (!isInput && cipher != null && !isStringOrBuffer(passphrase))) {
      throw new ERR_INVALID_ARG_VALUE(option("passphrase", objName), passphrase);
    }
  }
  if (passphrase !== undefined) {
    passphrase = typeof passphrase === "string" ? fromString(passphrase, encoding) : isBytes(passphrase) ? toBytes(passphrase) : undefined;
  }
  if (!isInput && cipher != null && !op_crypto_cipher_exists(cipher)) throw new ERR_CRYPTO_UNKNOWN_CIPHER();
  return { format, type, cipher: isInput ? undefined : cipher ?? undefined, passphrase };
}

function parsePublicKeyEncoding(enc, keyType, objName) {
  validateObject(enc, "options");
  return parseEncoding(enc, keyType, keyType ? true : undefined, objName, false);
}

function parsePrivateKeyEncoding(enc, keyType, objName) {
  validateObject(enc, "options");
  return parseEncoding(enc, keyType, false, objName, false);
}

// --- Keys as arguments.

const kConsumePublic = 0;
const kConsumePrivate = 1;
const kCreatePublic = 2;
const kCreatePrivate = 3;

const CRYPTO_KEY_TYPES = ["ArrayBuffer", "Buffer", "TypedArray", "DataView", "string", "KeyObject", "CryptoKey"];

function keyTypes(allowKeyObject) {
  return [...ARRAY_BUFFER_TYPES, "string", ...(allowKeyObject ? ["KeyObject", "CryptoKey"] : [])];
}

// The handle of a key object, if it may serve.
function objectHandle(key, ctx) {
  if (ctx === kCreatePrivate) throw new ERR_INVALID_ARG_TYPE("key", ["string", ...ARRAY_BUFFER_TYPES], key);
  if (key.type !== "private") {
    if (ctx === kConsumePrivate || ctx === kCreatePublic) throw new ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE(key.type, "private");
    if (key.type !== "public") throw new ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE(key.type, "private or public");
  }
  return handleOf(key);
}

function required(key, name) {
  if (typeof key[name] !== "string") throw new ERR_INVALID_ARG_TYPE(`key.${name}`, "string", key[name]);
  return key[name];
}

function jwkHandle(key, ctx) {
  validateObject(key, "key");
  validateOneOf(key.kty, "key.kty", ["RSA", "EC", "OKP"]);
  const isPublic = ctx === kConsumePublic || ctx === kCreatePublic;
  if (key.kty === "OKP") {
    validateString(key.crv, "key.crv");
    validateOneOf(key.crv, "key.crv", ["Ed25519", "Ed448", "X25519", "X448"]);
    validateString(key.x, "key.x");
    const members = [key.crv, key.x];
    if (!isPublic) {
      validateString(key.d, "key.d");
      members.push(key.d);
    }
    return op_crypto_key_from_jwk("OKP", members);
  }
  if (key.kty === "EC") {
    validateString(key.crv, "key.crv");
    validateOneOf(key.crv, "key.crv", ["P-256", "secp256k1", "P-384", "P-521"]);
    const members = [key.crv, required(key, "x"), required(key, "y")];
    if (!isPublic) members.push(required(key, "d"));
    return op_crypto_key_from_jwk("EC", members);
  }
  const members = [required(key, "n"), required(key, "e")];
  if (!isPublic) {
    for (const name of ["d", "p", "q", "dp", "dq", "qi"]) required(key, name);
    members.push(key.d, key.p, key.q);
  }
  return op_crypto_key_from_jwk("RSA", members);
}

function parsed(data, options, ctx) {
  const isPublic = ctx === kConsumePublic || ctx === kCreatePublic ? undefined : false;
  const { format, type, passphrase } = parseEncoding(options, undefined, isPublic, undefined, true);
  const code = format === "pem" ? 0 : PARSE[type];
  return op_crypto_key_parse(isPublic === false, data, code, passphrase !== undefined, passphrase ?? NOTHING);
}

// The handle of any key argument.
function prepareAsymmetricKey(key, ctx) {
  if (isKeyObject(key)) return objectHandle(key, ctx);
  if (isCryptoKey(key)) return objectHandle(fromCryptoKey(key), ctx);
  if (isStringOrBuffer(key)) return parsed(bytesOfKey(key), { format: "pem" }, ctx);
  if (typeof key === "object" && key !== null) {
    const { key: data, encoding, format } = key;
    if (isKeyObject(data)) return objectHandle(data, ctx);
    if (isCryptoKey(data)) return objectHandle(fromCryptoKey(data), ctx);
    if (format === "jwk") {
      validateObject(data, "key.key");
      return jwkHandle(data, ctx);
    }
    if (!isStringOrBuffer(data)) throw new ERR_INVALID_ARG_TYPE("key.key", [...keyTypes(ctx !== kCreatePrivate)], data);
    return parsed(bytesOfKey(data, encoding), key, ctx);
  }
  throw new ERR_INVALID_ARG_TYPE("key", keyTypes(ctx !== kCreatePrivate), key);
}

function bytesOfKey(data, encoding) {
  return typeof data === "string" ? fromString(data, encoding) : toBytes(data);
}

function publicHandle(key) {
  return prepareAsymmetricKey(key, kConsumePublic);
}

function privateHandle(key) {
  return prepareAsymmetricKey(key, kConsumePrivate);
}

function createPublicKey(key) {
  const handle = prepareAsymmetricKey(key, kCreatePublic);
  return keyObject(op_crypto_key_kind(handle) === "private" ? op_crypto_key_public(handle) : handle);
}

function createPrivateKey(key) {
  return keyObject(prepareAsymmetricKey(key, kCreatePrivate));
}

function createSecretKey(key, encoding) {
  if (typeof key === "string") return keyObject(op_crypto_key_secret(fromString(key, encoding)));
  if (!isBytes(key)) throw new ERR_INVALID_ARG_TYPE("key", ["string", ...ARRAY_BUFFER_TYPES], key);
  return keyObject(op_crypto_key_secret(toBytes(key)));
}

// The bytes of a secret, given as text, bytes or key.
function secretBytes(key, encoding, name = "key") {
  if (isKeyObject(key)) {
    if (key.type !== "secret") throw new ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE(key.type, "secret");
    return op_crypto_key_secret_bytes(handleOf(key));
  }
  if (isCryptoKey(key)) return secretBytes(fromCryptoKey(key));
  if (typeof key === "string") return fromString(key, encoding);
  if (isBytes(key)) return toBytes(key);
  throw new ERR_INVALID_ARG_TYPE(name, CRYPTO_KEY_TYPES, key);
}

module.exports = {
  bytesOfKey,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  EXPORT_PRIVATE,
  EXPORT_PUBLIC,
  exported,
  fromCryptoKey,
  handleOf,
  isCryptoKey,
  isKeyObject,
  keyObject,
  KeyObject,
  parsePrivateKeyEncoding,
  parsePublicKeyEncoding,
  privateHandle,
  publicHandle,
  secretBytes,
};
