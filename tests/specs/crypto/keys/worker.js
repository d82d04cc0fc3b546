const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const utf8 = (text) => new TextEncoder().encode(text);
const rejected = (promise) => promise.then(() => "nothing", (error) => error.name);
export default {
  async fetch() {
    return Response.json({
      hmac: await (async () => { const k = await crypto.subtle.importKey("raw", utf8("Jefe"), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]); const s = await crypto.subtle.sign("HMAC", k, utf8("what do ya want for nothing?")); return [hex(s), await crypto.subtle.verify("HMAC", k, s, utf8("what do ya want for nothing?")), await crypto.subtle.verify("HMAC", k, s, utf8("other"))]; })(),
      gcm: await (async () => { const k = await crypto.subtle.importKey("raw", unhex("00000000000000000000000000000000"), "AES-GCM", false, ["encrypt", "decrypt"]); const iv = unhex("000000000000000000000000"); const c = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, k, unhex("00000000000000000000000000000000")); const p = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, k, c); const bad = new Uint8Array(c.slice(0)); bad[0] ^= 1; return [hex(c), hex(p), await rejected(crypto.subtle.decrypt({ name: "AES-GCM", iv }, k, bad))]; })(),
      cbc: await (async () => { const k = await crypto.subtle.importKey("raw", unhex("2b7e151628aed2a6abf7158809cf4f3c"), "AES-CBC", false, ["encrypt"]); const c = await crypto.subtle.encrypt({ name: "AES-CBC", iv: unhex("000102030405060708090a0b0c0d0e0f") }, k, unhex("6bc1bee22e409f96e93d7e117393172a")); return hex(c).slice(0, 32); })(),
      hkdf: await (async () => { const k = await crypto.subtle.importKey("raw", unhex("0b".repeat(22)), "HKDF", false, ["deriveBits"]); return hex(await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: unhex("000102030405060708090a0b0c"), info: unhex("f0f1f2f3f4f5f6f7f8f9") }, k, 336)); })(),
      pbkdf2: await (async () => { const k = await crypto.subtle.importKey("raw", utf8("password"), "PBKDF2", false, ["deriveBits"]); return hex(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-1", salt: utf8("salt"), iterations: 4096 }, k, 160)); })(),
      jwk: await (async () => { const k = await crypto.subtle.importKey("jwk", { kty: "oct", k: "AAECAwQFBgcICQoLDA0ODw", alg: "A128GCM", ext: true }, "AES-GCM", true, ["encrypt"]); return [hex(await crypto.subtle.exportKey("raw", k)), k.extractable, k.algorithm.length, k.usages]; })(),
      usage: await (async () => { const k = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt"]); return [await rejected(crypto.subtle.decrypt({ name: "AES-GCM", iv: new Uint8Array(12) }, k, new Uint8Array(16))), await rejected(crypto.subtle.exportKey("raw", k))]; })(),
    });
  },
};
