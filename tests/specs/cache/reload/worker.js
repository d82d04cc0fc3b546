const version = "one";
export default {
  async fetch(request) {
    const url = "http://cache.test/";
    if (new URL(request.url).pathname === "/put") {
      await caches.default.put(url, new Response("kept", { headers: { "cache-control": "max-age=600" } }));
    }
    return new Response(`${version} ${await (await caches.default.match(url))?.text()}`);
  },
};
