const formats = ["gzip", "deflate", "deflate-raw"];
const bytes = (string) => new TextEncoder().encode(string);
const text = (data) => new TextDecoder().decode(data);
const fromBase64 = (string) => Uint8Array.from(atob(string), (c) => c.charCodeAt(0));
const through = async (stream, data) => {
  const reading = new Response(stream.readable).bytes();
  const writer = stream.writable.getWriter();
  writer.write(data).catch(() => {});
  writer.close().catch(() => {});
  return await reading;
};
const compress = (format, data) => through(new CompressionStream(format), data);
const decompress = (format, data) => through(new DecompressionStream(format), data);
export default {
  async fetch(request) {
    return Response.json({
      there: await Promise.all(formats.map(async (format) => text(await decompress(format, await compress(format, bytes("hello ".repeat(50))))))),
      smaller: (await Promise.all(formats.map((format) => compress(format, new Uint8Array(10_000))))).map((packed) => packed.length < 100),
      magic: [...(await compress("gzip", bytes("x"))).subarray(0, 3)],
      zlib: (await compress("deflate", bytes("x")))[0],
      empty: (await Promise.all(formats.map(async (format) => (await decompress(format, await compress(format, new Uint8Array()))).length))),
      known: [
        text(await decompress("gzip", fromBase64("H4sIAAAAAAAA/8tIzcnJBwCGphA2BQAAAA=="))),
        text(await decompress("deflate", fromBase64("eJzLSM3JyQcABiwCFQ=="))),
        text(await decompress("deflate-raw", fromBase64("y0jNyckHAA=="))),
      ],
    });
  },
};
