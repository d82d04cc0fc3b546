const url = "http://cache.test/";
export default {
  async fetch(request) {
    if (new URL(request.url).pathname === "/put") {
      const headers = { "cache-control": "max-age=60", "content-type": "text/plain", etag: '"a"' };
      await caches.default.put(url, new Response("hello", { headers }));
      return new Response("put");
    }
    const headers = { range: request.headers.get("x-range") };
    const ifRange = request.headers.get("x-if-range");
    if (ifRange !== null) headers["if-range"] = ifRange;
    return await caches.default.match(new Request(url, { headers }));
  },
};
