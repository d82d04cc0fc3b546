// What the call gives, or the error's name and message.
const tell = async (call) => {
  try {
    return await call();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

const headers = { "cache-control": "max-age=60" };
const encoder = new TextEncoder();
export default {
  async fetch() {
    let piece = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (piece++ === 32) controller.close();
        else controller.enqueue(new Uint8Array(65536).fill(piece));
      },
    });
    await caches.default.put("http://cache.test/large", new Response(body, { headers }));
    const found = new Uint8Array(await (await caches.default.match("http://cache.test/large")).arrayBuffer());
    const broken = new ReadableStream({
      start(controller) {
        controller.enqueue(encoder.encode("half"));
      },
      pull(controller) {
        controller.error(new RangeError("broke"));
      },
    });
    const error = await tell(() => caches.default.put("http://cache.test/broken", new Response(broken, { headers })));
    await caches.default.put("http://cache.test/empty", new Response(null, { headers }));
    return Response.json({
      length: found.length,
      bytes: [found[0], found[65536], found.at(-1)],
      error,
      stored: (await caches.default.match("http://cache.test/broken")) !== undefined,
      empty: await (await caches.default.match("http://cache.test/empty")).text(),
    });
  },
};
