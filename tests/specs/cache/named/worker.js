const url = "http://cache.test/";
const response = (text) => new Response(text, { headers: { "cache-control": "max-age=60" } });
const text = async (cache) => (await (await cache.match(url))?.text()) ?? null;
export default {
  async fetch() {
    const [a, b, sameA] = [await caches.open("a"), await caches.open("b"), await caches.open("a")];
    await a.put(url, response("in a"));
    const first = [await text(a), await text(b), await text(caches.default), await text(sameA)];
    await caches.default.put(url, response("in default"));
    await b.put(url, response("in b"));
    await sameA.delete(url);
    const defaultName = await text(await caches.open("default"));
    return Response.json([first, [await text(a), await text(b), await text(caches.default), defaultName]]);
  },
};
