export default async function attack() {
  for (let i = 0; i < 1e4; i++) {
    const response = new Response(new Uint8Array(100_000), { headers: { "cache-control": "max-age=1000" } });
    await caches.default.put("https://example.com/flood/" + i, response);
  }
  return new Response("put");
}
