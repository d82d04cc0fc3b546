const encoder = new TextEncoder();
export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    const { readable, writable } = pathname === "/fixed" ? new FixedLengthStream(5) : new IdentityTransformStream();
    const writer = writable.getWriter();
    const texts = pathname === "/fixed" ? ["he", "llo"] : ["bytes ", "pass"];
    ctx.waitUntil(
      (async () => {
        for (const text of texts) await writer.write(encoder.encode(text));
        await writer.close();
      })(),
    );
    return new Response(readable, { headers: { "content-type": "application/octet-stream" } });
  },
};
