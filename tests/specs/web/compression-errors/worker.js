const thrown = async (work) => {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
const packed = Uint8Array.from(atob("H4sIAAAAAAAA/8tIzcnJBwCGphA2BQAAAA=="), (c) => c.charCodeAt(0));
const through = async (stream, data) => {
  const writer = stream.writable.getWriter();
  writer.write(data).catch(() => {});
  writer.close().catch(() => {});
  return await new Response(stream.readable).bytes();
};
const decompress = (format, data) => through(new DecompressionStream(format), data);
export default {
  async fetch(request) {
    return Response.json({
      format: [await thrown(() => new CompressionStream("zip")), await thrown(() => new DecompressionStream("GZIP")), await thrown(() => new CompressionStream())],
      garbage: await thrown(() => decompress("gzip", new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]))),
      early: await thrown(() => decompress("gzip", packed.subarray(0, 15))),
      checksum: await thrown(() => decompress("gzip", packed.map((byte, index) => (index === packed.length - 8 ? byte ^ 1 : byte)))),
      trailing: await thrown(() => decompress("gzip", new Uint8Array([...packed, 1, 2, 3]))),
      chunk: await thrown(() => decompress("gzip", "text")),
      compressChunk: await thrown(() => through(new CompressionStream("gzip"), 5)),
    });
  },
};
