// Certificate: signed public keys and challenges (SPKAC).

const { op_crypto_spkac_challenge, op_crypto_spkac_key, op_crypto_spkac_verify } = internal.ops;
const { ERR_OUT_OF_RANGE } = require("internal/crypto/errors");
const { bytesOf, toBuffer } = require("internal/crypto/bytes");

const LENGTH_MAX = 2 ** 31 - 1;

function input(spkac, encoding) {
  const bytes = bytesOf(spkac, "spkac", encoding);
  if (bytes.byteLength > LENGTH_MAX) throw new ERR_OUT_OF_RANGE("spkac", `<= ${LENGTH_MAX}`, bytes.byteLength);
  return bytes;
}

function orEmpty(bytes) {
  return bytes.length === 0 ? "" : toBuffer(bytes);
}

function Certificate() {
  if (!(this instanceof Certificate)) return new Certificate();
}

function verifySpkac(spkac, encoding) {
  return op_crypto_spkac_verify(input(spkac, encoding));
}

function exportPublicKey(spkac, encoding) {
  return orEmpty(op_crypto_spkac_key(input(spkac, encoding)));
}

function exportChallenge(spkac, encoding) {
  return orEmpty(op_crypto_spkac_challenge(input(spkac, encoding)));
}

for (const target of [Certificate, Certificate.prototype]) {
  Object.assign(target, { verifySpkac, exportPublicKey, exportChallenge });
}

module.exports = { Certificate };
