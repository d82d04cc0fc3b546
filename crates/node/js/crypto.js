// exports: Certificate, CryptoKey, Cipher, Cipheriv, Decipher, Decipheriv, DiffieHellman, DiffieHellmanGroup, ECDH, Hash, Hmac, KeyObject, Sign, Verify
// exports: X509Certificate, checkPrime, checkPrimeSync, constants, createCipher, createCipheriv, createDecipher
// exports: createDecipheriv, createDiffieHellman
// exports: createDiffieHellmanGroup, createECDH, createHash, createHmac, createPrivateKey, createPublicKey
// exports: createSecretKey, createSign, createVerify, diffieHellman, fips, generateKey, generateKeyPair, generateKeyPairSync
// exports: generateKeySync, generatePrime, generatePrimeSync, getCipherInfo, getCiphers, getCurves, getDiffieHellman
// exports: getFips, getHashes, getRandomValues, hash, hkdf, hkdfSync, pbkdf2, pbkdf2Sync, privateDecrypt, privateEncrypt
// exports: prng, pseudoRandomBytes, publicDecrypt, publicEncrypt, randomBytes, randomFill, randomFillSync, randomInt
// exports: randomUUID, rng, scrypt, scryptSync, secureHeapUsed, setEngine, setFips, sign, subtle, timingSafeEqual, verify
// exports: webcrypto
//
// Cryptography. Every topic is a file of internal/crypto/, the algorithms are native (src/crypto/).

const cipher = require("internal/crypto/cipher");
const dh = require("internal/crypto/dh");
const hashes = require("internal/crypto/hash");
const kdf = require("internal/crypto/kdf");
const keygen = require("internal/crypto/keygen");
const keys = require("internal/crypto/keys");
const prime = require("internal/crypto/prime");
const random = require("internal/crypto/random");
const signing = require("internal/crypto/sign");
const { Certificate } = require("internal/crypto/certificate");
const { X509Certificate } = require("internal/crypto/x509");
const constants = require("internal/crypto/constants");
const {
  ERR_CRYPTO_ENGINE_UNKNOWN, ERR_CRYPTO_FIPS_UNAVAILABLE,
} = require("internal/crypto/errors");
const { validateBoolean, validateInt32, validateString } = require("internal/validators");

function createHash(algorithm, options) {
  return new hashes.Hash(algorithm, options);
}

function createHmac(hmac, key, options) {
  return new hashes.Hmac(hmac, key, options);
}

let told = false;

function deprecated(name) {
  if (told || typeof process !== "object" || typeof process.emitWarning !== "function") return;
  told = true;
  process.emitWarning(`crypto.${name} is deprecated.`, "DeprecationWarning", "DEP0106");
}

function createCipher(name, password, options) {
  deprecated("createCipher");
  return new cipher.Cipher(name, password, options);
}

function createDecipher(name, password, options) {
  deprecated("createDecipher");
  return new cipher.Decipher(name, password, options);
}

function createCipheriv(name, key, iv, options) {
  return new cipher.Cipheriv(name, key, iv, options);
}

function createDecipheriv(name, key, iv, options) {
  return new cipher.Decipheriv(name, key, iv, options);
}

function createSign(algorithm, options) {
  return new signing.Sign(algorithm, options);
}

function createVerify(algorithm, options) {
  return new signing.Verify(algorithm, options);
}

function createDiffieHellman(sizeOrKey, keyEncoding, generator, generatorEncoding) {
  return new dh.DiffieHellman(sizeOrKey, keyEncoding, generator, generatorEncoding);
}

function createDiffieHellmanGroup(name) {
  return new dh.DiffieHellmanGroup(name);
}

function createECDH(curve) {
  return new dh.ECDH(curve);
}

// There is no validated build: 0, and switching it on is an error.
function getFips() {
  return 0;
}

function setFips(value) {
  validateBoolean(value, "value");
  if (value) throw new ERR_CRYPTO_FIPS_UNAVAILABLE();
}

function setEngine(id, flags) {
  validateString(id, "id");
  if (flags) validateInt32(flags, "flags");
  throw new ERR_CRYPTO_ENGINE_UNKNOWN(id);
}

// There is no secure heap; Node without --secure-heap answers the same.
function secureHeapUsed() {
  return { total: 0, used: 0, utilization: 0, min: 0 };
}

function getRandomValues(array) {
  return globalThis.crypto.getRandomValues(array);
}

module.exports = {
  Certificate,
  checkPrime: prime.checkPrime,
  checkPrimeSync: prime.checkPrimeSync,
  Cipher: cipher.Cipher,
  Cipheriv: cipher.Cipheriv,
  createCipher,
  createCipheriv,
  createDecipher,
  createDecipheriv,
  createDiffieHellman,
  createDiffieHellmanGroup,
  createECDH,
  createHash,
  createHmac,
  createPrivateKey: keys.createPrivateKey,
  createPublicKey: keys.createPublicKey,
  createSecretKey: keys.createSecretKey,
  createSign,
  createVerify,
  Decipher: cipher.Decipher,
  Decipheriv: cipher.Decipheriv,
  DiffieHellman: dh.DiffieHellman,
  diffieHellman: dh.diffieHellman,
  DiffieHellmanGroup: dh.DiffieHellmanGroup,
  ECDH: dh.ECDH,
  generateKey: keygen.generateKey,
  generateKeyPair: keygen.generateKeyPair,
  generateKeyPairSync: keygen.generateKeyPairSync,
  generateKeySync: keygen.generateKeySync,
  generatePrime: prime.generatePrime,
  generatePrimeSync: prime.generatePrimeSync,
  getCipherInfo: cipher.getCipherInfo,
  getCiphers: cipher.getCiphers,
  getCurves: dh.getCurves,
  getDiffieHellman: createDiffieHellmanGroup,
  getFips,
  getHashes: hashes.getHashes,
  getRandomValues,
  Hash: hashes.Hash,
  hash: hashes.hash,
  hkdf: kdf.hkdf,
  hkdfSync: kdf.hkdfSync,
  Hmac: hashes.Hmac,
  CryptoKey: globalThis.CryptoKey,
  KeyObject: keys.KeyObject,
  pbkdf2: kdf.pbkdf2,
  pbkdf2Sync: kdf.pbkdf2Sync,
  privateDecrypt: signing.privateDecrypt,
  privateEncrypt: signing.privateEncrypt,
  publicDecrypt: signing.publicDecrypt,
  publicEncrypt: signing.publicEncrypt,
  randomBytes: random.randomBytes,
  randomFill: random.randomFill,
  randomFillSync: random.randomFillSync,
  randomInt: random.randomInt,
  randomUUID: random.randomUUID,
  scrypt: kdf.scrypt,
  scryptSync: kdf.scryptSync,
  secureHeapUsed,
  setEngine,
  setFips,
  Sign: signing.Sign,
  sign: signing.signOneShot,
  timingSafeEqual: random.timingSafeEqual,
  Verify: signing.Verify,
  verify: signing.verifyOneShot,
  X509Certificate,
};

// Old names.
for (const name of ["prng", "pseudoRandomBytes", "rng"]) {
  Object.defineProperty(module.exports, name, { value: random.randomBytes, enumerable: false, configurable: true, writable: true });
}

function fixed(name, value) {
  Object.defineProperty(module.exports, name, { value, enumerable: true, configurable: false, writable: false });
}

fixed("constants", constants);
Object.defineProperty(module.exports, "fips", { get: getFips, set: setFips, enumerable: true, configurable: true });
Object.defineProperty(module.exports, "webcrypto", {
  get: () => globalThis.crypto,
  set: undefined,
  enumerable: true,
  configurable: false,
});
Object.defineProperty(module.exports, "subtle", {
  get: () => globalThis.crypto.subtle,
  set: undefined,
  enumerable: true,
  configurable: false,
});
