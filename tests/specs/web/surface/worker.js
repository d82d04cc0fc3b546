const BROWSERS = ["BroadcastChannel", "FileList", "FileReader", "FileReaderSync", "ProgressEvent"];
const INNER = [
  [Crypto, "create", "registerSymbols"],
  [SubtleCrypto, "create"],
  [CryptoKey, "exportNodeMaterial", "fromCloneData", "importSync"],
  [EventTarget.prototype, "getParent"],
  [Event.prototype, "initialized"],
];

export default {
  async fetch(request) {
    if (request.method === "POST") return new Response();
    const beacons = [
      navigator.sendBeacon(request.url, "text"),
      // Whether anything can be sent there is nobody's to know.
      navigator.sendBeacon("/relative"),
    ];
    try {
      navigator.sendBeacon();
    } catch (error) {
      beacons.push(error.name);
    }
    const key = await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"]);
    return Response.json({
      missing: BROWSERS.filter((name) => !(name in globalThis)),
      inner: INNER.flatMap(([holder, ...names]) => names.filter((name) => name in holder)),
      platform: navigator.platform,
      uuid: /^[-0-9a-f]{36}$/.test(crypto.randomUUID()),
      digest: (await crypto.subtle.digest("SHA-256", new Uint8Array())).byteLength,
      clone: key.type,
      beacons,
    });
  },
};
