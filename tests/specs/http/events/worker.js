export default {
  fetch(request, env, ctx) {
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    const encoder = new TextEncoder();
    ctx.waitUntil(
      (async () => {
        await writer.write(encoder.encode("data: 1\n\n"));
        await fetch(`${env.ORIGIN}/gate/1`);
        await writer.write(encoder.encode("data: 2\n\n"));
        await writer.close();
      })(),
    );
    return new Response(readable, { headers: { "content-type": "text/event-stream" } });
  },
};
