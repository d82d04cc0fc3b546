export default async function attack() {
  const algorithm = { name: "RSA-OAEP", modulusLength: 4096, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };
  for (;;) await crypto.subtle.generateKey(algorithm, true, ["encrypt", "decrypt"]);
}
