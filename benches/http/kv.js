// One KV read of a small value a request, out of 100 keys that the first request writes.
const KEYS = 100;
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/fill") {
      for (let n = 0; n < KEYS; n += 1) await env.KV.put(`key-${n}`, `value ${n} `.repeat(10));
      return new Response("filled");
    }
    return new Response(await env.KV.get("key-42"));
  },
};
