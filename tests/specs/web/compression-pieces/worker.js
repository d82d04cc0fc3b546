const packed = [...atob("H4sIAAAAAAAA/8tIzcnJBwCGphA2BQAAAA==")].map((c) => c.charCodeAt(0));
const decompressed = async (chunks) => {
  const stream = new DecompressionStream("gzip");
  const reading = new Response(stream.readable).text();
  const writer = stream.writable.getWriter();
  for (const chunk of chunks) await writer.write(chunk);
  await writer.close();
  return await reading;
};
export default {
  async fetch(request) {
    return Response.json({
      bytewise: await decompressed(packed.map((byte) => Uint8Array.of(byte))),
      views: await decompressed([new DataView(Uint8Array.from(packed).buffer)]),
      buffer: await decompressed([Uint8Array.from(packed).buffer]),
      piped: await new Response(
        new Blob(["piped"]).stream().pipeThrough(new CompressionStream("deflate")).pipeThrough(new DecompressionStream("deflate")),
      ).text(),
      shape: [new CompressionStream("gzip").readable instanceof ReadableStream, new CompressionStream("gzip").writable instanceof WritableStream],
      tags: [`${new CompressionStream("gzip")}`, `${new DecompressionStream("gzip")}`],
      large: (
        await new Response(new Blob([new Uint8Array(3_000_000)]).stream().pipeThrough(new CompressionStream("gzip")).pipeThrough(new DecompressionStream("gzip"))).bytes()
      ).length,
    });
  },
};
