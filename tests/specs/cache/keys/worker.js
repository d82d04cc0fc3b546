const put = (request, text) => caches.default.put(request, new Response(text, { headers: { "cache-control": "max-age=60" } }));
const get = async (request) => (await (await caches.default.match(request))?.text()) ?? null;
export default {
  async fetch() {
    await put("http://cache.test/a#one", "a");
    await put(new Request("http://cache.test/b", { cf: { cacheKey: "http://cache.test/key" } }), "b");
    return Response.json([
      await get("http://cache.test/a"),
      await get("http://cache.test/a#two"),
      await get("http://cache.test/b"),
      await get(new Request("http://cache.test/c", { cf: { cacheKey: "http://cache.test/key" } })),
      await get("http://cache.test/key"),
    ]);
  },
};
