import { ed25519 } from "@noble/curves/ed25519.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
export default () => {
  const message = new Uint8Array([1, 2, 3]);
  return [ed25519, secp256k1].map((curve) => {
    const { secretKey, publicKey } = curve.keygen();
    return curve.verify(curve.sign(message, secretKey), message, publicKey);
  });
};
export const expected = [true, true];
