// What stands in a class can be frozen and still make the object: nothing is added to it later.
Object.freeze(Function.prototype);
Object.freeze(Object.prototype);
const described = Object.getOwnPropertyDescriptor(globalThis, "Crypto");
Object.freeze(Crypto);
Object.freeze(SubtleCrypto);
Object.freeze(CryptoKey);

export default {
  async fetch() {
    const key = await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"]);
    return Response.json({
      crypto: Object.getOwnPropertyNames(Crypto),
      subtle: Object.getOwnPropertyNames(SubtleCrypto),
      key: Object.getOwnPropertyNames(CryptoKey),
      described: { ...described, value: described.value === Crypto },
      same: crypto === globalThis.crypto && crypto.subtle === crypto.subtle,
      instances: crypto instanceof Crypto && crypto.subtle instanceof SubtleCrypto && key instanceof CryptoKey,
      id: crypto.randomUUID(),
    });
  },
};
