export default {
  async fetch(request, env, ctx) {
    const found = await caches.default.match(request);
    if (found !== undefined) return found;
    const fetched = await fetch(`${env.ORIGIN}/pieces/3`);
    const response = new Response(fetched.body, fetched);
    response.headers.set("cache-control", "s-maxage=60");
    ctx.waitUntil(caches.default.put(request, response.clone()));
    return response;
  },
};
