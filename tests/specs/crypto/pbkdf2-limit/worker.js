const encode = (text) => new TextEncoder().encode(text);

export default {
  async fetch() {
    const key = await crypto.subtle.importKey("raw", encode("pw"), "PBKDF2", false, ["deriveBits", "deriveKey"]);
    const bits = (iterations) =>
      crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: encode("s"), iterations }, key, 256);
    const derived = new Uint8Array(await bits(100_000));
    return Response.json([
      await bits(100_001).catch(String),
      await crypto.subtle.deriveKey(
        { name: "pbkdf2", hash: "SHA-256", salt: encode("s"), iterations: 600_000 }, key, { name: "AES-GCM", length: 256 }, false, ["encrypt"],
      ).catch(String),
      [...derived.slice(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
      await bits(0).catch((error) => error.name),
    ]);
  },
};
