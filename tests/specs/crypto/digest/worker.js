const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const utf8 = (text) => new TextEncoder().encode(text);
const rejected = (promise) => promise.then(() => "nothing", (error) => error.name);
export default {
  async fetch() {
    return Response.json({
      sha1: hex(await crypto.subtle.digest("SHA-1", utf8("abc"))),
      sha256: hex(await crypto.subtle.digest("SHA-256", utf8("abc"))),
      sha384: hex(await crypto.subtle.digest({ name: "sha-384" }, utf8("abc"))).slice(0, 32),
      sha512: hex(await crypto.subtle.digest("SHA-512", utf8(""))).slice(0, 32),
      unknown: await rejected(crypto.subtle.digest("SHA-9", utf8(""))),
      random: (() => { const a = new Uint8Array(64); return [crypto.getRandomValues(a) === a, a.some((x) => x !== 0)]; })(),
      tooMuch: (() => { try { crypto.getRandomValues(new Uint8Array(65537)); } catch (e) { return e.name; } })(),
    });
  },
};
