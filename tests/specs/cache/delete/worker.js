const url = "http://cache.test/";
export default {
  async fetch() {
    const cache = caches.default;
    await cache.put(url, new Response("x", { headers: { "cache-control": "max-age=60" } }));
    const post = new Request(url, { method: "POST" });
    const head = new Request(url, { method: "HEAD" });
    const there = async (...args) => (await cache.match(...args)) !== undefined;
    return Response.json([
      await there(url),
      await there(head),
      await there(post),
      await there(head, { ignoreMethod: true }),
      await there(post, { ignoreMethod: true }),
      await there(post, null),
      await cache.delete(post),
      await there(`${url}#fragment`),
      await cache.delete(post, { ignoreMethod: true }),
      await there(url),
      await cache.delete(url),
    ]);
  },
};
