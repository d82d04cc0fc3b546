const cache = caches.default;
const named = await caches.open("named");
let atTop;
await cache.match("http://cache.test/").catch((error) => {
  atTop = `${error.name}: ${error.message.slice(0, 47)}`;
});
export default {
  async fetch() {
    await named.put("http://cache.test/", new Response("x", { headers: { "cache-control": "max-age=60" } }));
    const found = await named.match("http://cache.test/");
    return Response.json([atTop, cache === caches.default, await found.text()]);
  },
};
