const encoder = new TextEncoder();
export default {
  async fetch() {
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    const source = EventSource.from(readable);
    const seen = [];
    const next = () => new Promise((resolve) => source.addEventListener("message", (event) => resolve(seen.push(event.data)), { once: true }));
    for (const text of ["one", "two"]) {
      const told = next();
      await writer.write(encoder.encode(`data: ${text}\n\n`));
      await told;
    }
    source.addEventListener("message", (event) => seen.push(`late ${event.data}`));
    source.close();
    await writer.write(encoder.encode("data: three\n\n")).catch(() => {});
    await scheduler.wait(20);
    return Response.json([seen, source.readyState]);
  },
};
