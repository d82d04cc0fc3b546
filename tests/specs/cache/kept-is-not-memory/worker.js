const MIB = 1 << 20;
const headers = { "cache-control": "max-age=1000" };
const measured = async (url) => {
  const response = await caches.default.match(url);
  if (response === undefined) return null;
  let bytes = 0;
  for await (const chunk of response.body) bytes += chunk.byteLength;
  return bytes;
};

export default {
  async fetch(request) {
    if (new URL(request.url).pathname === "/bytes") {
      const urls = Array.from({ length: 64 }, (_, index) => `http://kept.test/${index}`);
      for (const url of urls) await caches.default.put(url, new Response(new Uint8Array(MIB), { headers }));
      let found = 0;
      for (const url of urls) found += (await measured(url)) === MIB;
      return new Response(`${found} of ${urls.length}`);
    }
    let left = 64;
    const stream = new ReadableStream({
      pull(controller) {
        if (left-- === 0) controller.close();
        else controller.enqueue(new Uint8Array(MIB));
      },
    });
    await caches.default.put("http://kept.test/stream", new Response(stream, { headers }));
    return new Response(`${await measured("http://kept.test/stream")}`);
  },
};
