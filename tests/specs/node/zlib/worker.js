import zlib from "node:zlib";
import { promisify } from "node:util";
import { pipeline } from "node:stream/promises";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";

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
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/sync":
        return Response.json(
          [
            ["deflateSync", "inflateSync"],
            ["gzipSync", "gunzipSync"],
            ["deflateRawSync", "inflateRawSync"],
            ["gzipSync", "unzipSync"],
            ["deflateSync", "unzipSync"],
            ["brotliCompressSync", "brotliDecompressSync"],
          ].map(([pack, unpack]) => {
            const packed = zlib[pack](input);
            return packed.length < 200 && zlib[unpack](packed).toString() === input;
          }),
        );
      case "/callbacks": {
        const packed = await promisify(zlib.gzip)(input, { level: 1 });
        const unpacked = await promisify(zlib.gunzip)(packed);
        const brotli = await promisify(zlib.brotliCompress)(input, {
          params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 },
        });
        return Response.json([unpacked.toString() === input, (await promisify(zlib.brotliDecompress)(brotli)).toString() === input]);
      }
      case "/streams": {
        const out = new PassThrough();
        const done = text(out);
        await pipeline(Readable.from([input, input]), zlib.createGzip(), zlib.createGunzip(), out);
        return Response.json(await done === input + input);
      }
      case "/dictionary": {
        const dictionary = Buffer.from("some text that repeats");
        const packed = zlib.deflateSync(input, { dictionary });
        return Response.json([
          zlib.inflateSync(packed, { dictionary }).toString() === input,
          thrown(() => zlib.inflateSync(packed))[2],
          thrown(() => zlib.inflateSync(packed, { dictionary: Buffer.from("wrong") }))[2],
        ]);
      }
      case "/members":
        return Response.json([
          zlib.gunzipSync(Buffer.concat([zlib.gzipSync("one"), zlib.gzipSync("two")])).toString(),
          zlib.crc32("abc"),
          zlib.crc32("c", zlib.crc32("ab")),
        ]);
      case "/params": {
        const deflate = zlib.createDeflate({ level: 9 });
        const parts = [];
        deflate.on("data", (part) => parts.push(part));
        deflate.write(input);
        await new Promise((resolve, reject) =>
          deflate.params(0, zlib.constants.Z_DEFAULT_STRATEGY, (error) => error ? reject(error) : resolve())
        );
        const before = Buffer.concat(parts).length;
        deflate.end(input);
        await new Promise((resolve) => deflate.on("end", resolve));
        const all = Buffer.concat(parts);
        return Response.json([before < 300, all.length - before >= input.length, zlib.inflateSync(all).toString() === input + input]);
      }
    }
  },
};
