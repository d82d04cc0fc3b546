import { EncryptJWT, exportJWK, generateKeyPair, jwtDecrypt, jwtVerify, SignJWT } from "jose";
export default async () => {
  const secret = new TextEncoder().encode("a secret of thirty-two characters");
  const token = await new SignJWT({ scope: "read" }).setProtectedHeader({ alg: "HS256" }).setSubject("ada").sign(secret);
  const { payload } = await jwtVerify(token, secret);
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const signed = await new SignJWT({ a: 1 }).setProtectedHeader({ alg: "ES256" }).sign(privateKey);
  const verified = await jwtVerify(signed, publicKey);
  const rsa = await generateKeyPair("RS256");
  const byRsa = await jwtVerify(await new SignJWT({ b: 2 }).setProtectedHeader({ alg: "RS256" }).sign(rsa.privateKey), rsa.publicKey);
  const key = crypto.getRandomValues(new Uint8Array(32));
  const box = await new EncryptJWT({ c: 3 }).setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(key);
  return [payload, verified.payload, byRsa.payload, (await jwtDecrypt(box, key)).payload, (await exportJWK(publicKey)).crv];
};
export const expected = [{ scope: "read", sub: "ada" }, { a: 1 }, { b: 2 }, { c: 3 }, "P-256"];
