export default {
  async fetch(request) {
    const url = "http://cache.test/";
    if (new URL(request.url).pathname === "/put") {
      const headers = { "cache-control": "max-age=2, stale-while-revalidate=600, stale-if-error=600" };
      await caches.default.put(url, new Response("x", { headers }));
      return new Response(await (await caches.default.match(url)).text());
    }
    return new Response((await caches.default.match(url)) === undefined ? "gone" : "there");
  },
};
