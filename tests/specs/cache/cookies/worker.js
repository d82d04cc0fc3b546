const put = async (url, cacheControl) => {
  const headers = { "set-cookie": "a=1", "cache-control": cacheControl };
  await caches.default.put(url, new Response("x", { headers }));
  const found = await caches.default.match(url);
  return found === undefined ? null : [found.headers.get("set-cookie"), await found.text()];
};
export default {
  async fetch() {
    return Response.json([
      await put("http://cache.test/1", "max-age=60"),
      await put("http://cache.test/2", "max-age=60, private=Set-Cookie"),
      await put("http://cache.test/3", "private=set-cookie, max-age=60"),
    ]);
  },
};
