// The errors of node:crypto.

const { codes, E } = require("internal/errors");

E("ERR_CRYPTO_CUSTOM_ENGINE_NOT_SUPPORTED", "Custom engines not supported by this OpenSSL", Error);
E("ERR_CRYPTO_ECDH_INVALID_FORMAT", (format) => `Invalid ECDH format: ${format}`, TypeError);
E("ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY", "Public key is not valid for specified curve", Error);
E("ERR_CRYPTO_ENGINE_UNKNOWN", (id) => `Engine "${id}" was not found`, Error);
E("ERR_CRYPTO_FIPS_FORCED", "Cannot set FIPS mode, it was forced with --force-fips at startup.", Error);
E("ERR_CRYPTO_FIPS_UNAVAILABLE", "Cannot set FIPS mode in a non-FIPS build.", Error);
E("ERR_CRYPTO_HASH_FINALIZED", "Digest already called", Error);
E("ERR_CRYPTO_HASH_UPDATE_FAILED", "Hash update failed", Error);
E("ERR_CRYPTO_INCOMPATIBLE_KEY", (what, why) => `Incompatible ${what}: ${why}`, Error);
E("ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS", (encoding, why) => `The selected key encoding ${encoding} ${why}.`, Error);
E("ERR_CRYPTO_INVALID_DIGEST", (name) => `Invalid digest: ${name}`, TypeError);
E("ERR_CRYPTO_INVALID_JWK", "Invalid JWK data", TypeError);
E("ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length", RangeError);
E("ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", (type, expected) => `Invalid key object type ${type}, expected ${expected}.`, TypeError);
E("ERR_CRYPTO_INVALID_SCRYPT_PARAMS", (detail) => `Invalid scrypt params${detail === undefined ? "" : `: ${detail}`}`, RangeError);
E("ERR_CRYPTO_INVALID_STATE", (operation) => `Invalid state for operation ${operation}`, Error);
E("ERR_CRYPTO_JWK_UNSUPPORTED_CURVE", (curve) => `Unsupported JWK EC curve: ${curve}.`, Error);
E("ERR_CRYPTO_JWK_UNSUPPORTED_KEY_TYPE", "Unsupported JWK Key Type.", Error);
E("ERR_CRYPTO_PBKDF2_ERROR", "PBKDF2 error", Error);
E("ERR_CRYPTO_SIGN_KEY_REQUIRED", "No key provided to sign", Error);
E("ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length", RangeError);
E("ERR_CRYPTO_UNKNOWN_CIPHER", "Unknown cipher", Error);
E("ERR_CRYPTO_UNKNOWN_DH_GROUP", "Unknown DH group", Error);
E("ERR_CRYPTO_UNSUPPORTED_OPERATION", "Unsupported crypto operation", Error);
E("ERR_INCOMPATIBLE_OPTION_PAIR", (a, b) => `Option "${a}" cannot be used in combination with option "${b}"`, TypeError);
E("ERR_MISSING_OPTION", (name) => `${name} is required`, TypeError);
E("ERR_UNKNOWN_ENCODING", (encoding) => `Unknown encoding: ${encoding}`, TypeError);

module.exports = codes;
