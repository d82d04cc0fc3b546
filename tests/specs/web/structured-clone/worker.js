const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch() {
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.generateKey(algorithm, false, ["sign"]);
    const platform = [
      key, crypto, crypto.subtle, new AbortController(), new AbortController().signal, new Event("x"), new EventTarget(), new TextEncoder(), new TextDecoder(),
      new MessageChannel(), new WebSocketPair(), new URL("http://a/"), new FormData(), performance, caches, caches.default, new (class extends EventTarget {})(),
    ];
    return Response.json({
      plain: structuredClone({ a: [1, undefined, null], d: new Date(5), n: NaN }).a.length,
      map: [...structuredClone(new Map([[1, new Set(["x"])]])).get(1)],
      date: structuredClone(new Date(5)).getTime(),
      regexp: String(structuredClone(/a/gi)),
      cycle: (() => { const o = {}; o.self = o; const c = structuredClone(o); return [c.self === c, c !== o]; })(),
      error: (() => { const e = structuredClone(new RangeError("m")); return [e instanceof RangeError, e.message]; })(),
      bigint: String(structuredClone(10n ** 20n)),
      typed: (() => { const t = structuredClone(new Uint16Array([1, 65535])); return [t.constructor.name, ...t]; })(),
      transfer: (() => { const b = new ArrayBuffer(4); const c = structuredClone(b, { transfer: [b] }); return [b.byteLength, c.byteLength]; })(),
      bad: [thrown(() => structuredClone(() => {})), thrown(() => structuredClone(Symbol("x")))],
      platform: platform.filter((object) => thrown(() => structuredClone(object)) !== "DataCloneError").map(String),
      within: platform.filter((object) => thrown(() => structuredClone({ a: [object] })) !== "DataCloneError").map(String),
      prototype: (() => { class A { x = 1; } const c = structuredClone(new A()); return [c instanceof A, c.x]; })(),
    });
  },
};
