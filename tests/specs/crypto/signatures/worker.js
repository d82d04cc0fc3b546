const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const utf8 = (text) => new TextEncoder().encode(text);
const rejected = (promise) => promise.then(() => "nothing", (error) => error.name);
export default {
  async fetch() {
    return Response.json({
      ecdsa: await (async () => { const k = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]); const a = { name: "ECDSA", hash: "SHA-256" }; const s = await crypto.subtle.sign(a, k.privateKey, utf8("x")); const jwk = await crypto.subtle.exportKey("jwk", k.publicKey); const again = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"]); return [s.byteLength, await crypto.subtle.verify(a, again, s, utf8("x")), await crypto.subtle.verify(a, again, s, utf8("y")), jwk.crv]; })(),
      ed25519: await (async () => { const k = await crypto.subtle.importKey("raw", unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"), "Ed25519", false, ["verify"]); return crypto.subtle.verify("Ed25519", k, unhex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"), new Uint8Array(0)); })(),
      rsa: await (async () => { const k = await crypto.subtle.generateKey({ name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" }, true, ["sign", "verify"]); const s = await crypto.subtle.sign("RSASSA-PKCS1-v1_5", k.privateKey, utf8("x")); const der = await crypto.subtle.exportKey("spki", k.publicKey); const again = await crypto.subtle.importKey("spki", der, { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["verify"]); return [s.byteLength, await crypto.subtle.verify("RSASSA-PKCS1-v1_5", again, s, utf8("x"))]; })(),
      oaep: await (async () => { const k = await crypto.subtle.generateKey({ name: "RSA-OAEP", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" }, false, ["encrypt", "decrypt"]); const c = await crypto.subtle.encrypt("RSA-OAEP", k.publicKey, utf8("secret")); return new TextDecoder().decode(await crypto.subtle.decrypt("RSA-OAEP", k.privateKey, c)); })(),
      ecdh: await (async () => { const make = () => crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"]); const [a, b] = [await make(), await make()]; const bits = (own, other) => crypto.subtle.deriveBits({ name: "ECDH", public: other.publicKey }, own.privateKey, 256).then(hex); return (await bits(a, b)) === (await bits(b, a)); })(),
      wrong: await rejected(crypto.subtle.importKey("spki", new Uint8Array([1, 2, 3]), { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"])),
    });
  },
};
