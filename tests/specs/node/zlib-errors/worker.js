import zlib from "node:zlib";

const input = "some text that repeats, some text that repeats, ".repeat(50);

function thrown(f) {
  try {
    f();
    return null;
  } catch (error) {
    return [error.name, error.code, error.message];
  }
}

export default {
  fetch() {
    const packed = zlib.gzipSync(input);
    return Response.json([
      thrown(() => zlib.gunzipSync(packed.subarray(0, 20))),
      thrown(() => zlib.inflateSync("not zlib")),
      thrown(() => zlib.brotliDecompressSync("not brotli"))[1],
      thrown(() => zlib.gunzipSync(packed, { maxOutputLength: 100 }))[1],
      thrown(() => zlib.deflateSync(input, { level: 10 }))[1],
      thrown(() => zlib.deflateSync(5))[1],
    ]);
  },
};
