import zlib, { ZstdCompress, ZSTD_error_corruption_detected } from "node:zlib";
import { promisify } from "node:util";
import { pipeline } from "node:stream/promises";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";

const { constants: C } = zlib;
const data = Buffer.from("hello hello hello hello zstd ".repeat(50));
// Made by Node 24.21: zstdCompressSync(data), and with level 19 and a checksum.
const PLAIN = "28b52ffd60aa04c500005068656c6c6f207a73746404007201f50160406742e29522";
const BEST = "28b52ffd64aa04ad00005868656c6c6f207a7374642002008a01f5eb78a508f8be0c02";
// By its stream, which does not know the length.
const STREAMED = "28b52ffd0058c500005068656c6c6f207a73746404007201f50160406742e29522";
// With the dictionary "hello hello".
const WITH_DICTIONARY = "28b52ffd60aa04ad000028207a73746405007201f503e000cd835ef8d92841";

const hex = (bytes) => bytes.toString("hex");
const unpack = (text, options) => zlib.zstdDecompressSync(Buffer.from(text, "hex"), options);

function thrown(f) {
  try {
    const value = f();
    return `nothing, but gave ${value}`;
  } catch (error) {
    return [error.name, error.code, error.errno, error.message];
  }
}

export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/vectors":
        return Response.json({
          plain: hex(zlib.zstdCompressSync(data)) === PLAIN,
          best: hex(zlib.zstdCompressSync(data, { params: { [C.ZSTD_c_compressionLevel]: 19, [C.ZSTD_c_checksumFlag]: true } })) === BEST,
          pledged: hex(zlib.zstdCompressSync(data, { pledgedSrcSize: data.length })) === PLAIN,
          text: hex(zlib.zstdCompressSync("abc")),
          empty: hex(zlib.zstdCompressSync("")),
          read: [PLAIN, BEST, STREAMED].map((each) => unpack(each).equals(data)),
          views: hex(zlib.zstdCompressSync(new Uint16Array([1, 2]))) === hex(zlib.zstdCompressSync(new Uint16Array([1, 2]).buffer)),
          negative: unpack(hex(zlib.zstdCompressSync(data, { params: { [C.ZSTD_c_compressionLevel]: -5 } }))).equals(data),
        });
      case "/ways": {
        const compressed = await promisify(zlib.zstdCompress)(data);
        const back = await new Promise((resolve, reject) =>
          zlib.zstdDecompress(compressed, { chunkSize: 64 }, (error, bytes) => error ? reject(error) : resolve(bytes))
        );
        const through = new PassThrough();
        const read = text(through);
        await pipeline(Readable.from([data.subarray(0, 700), data.subarray(700)]), zlib.createZstdCompress(), zlib.createZstdDecompress(), through);
        const stream = zlib.createZstdCompress();
        const parts = [];
        stream.on("data", (part) => parts.push(part));
        stream.write("abc");
        await new Promise((resolve) => stream.flush(resolve));
        const flushed = hex(Buffer.concat(parts));
        stream.end("def");
        await new Promise((resolve, reject) => stream.on("end", resolve).on("error", reject));
        const { buffer, engine } = zlib.zstdCompressSync("abc", { info: true });
        return Response.json({
          back: back.equals(data),
          streamed: (await read) === data.toString(),
          flushed,
          ended: hex(Buffer.concat(parts)),
          written: stream.bytesWritten,
          info: [hex(buffer), engine instanceof ZstdCompress, engine.bytesWritten],
        });
      }
      case "/frames": {
        // What follows the first frame is not read.
        const frame = Buffer.from(PLAIN, "hex");
        return Response.json([
          zlib.zstdDecompressSync(Buffer.concat([frame, frame])).length,
          zlib.zstdDecompressSync(Buffer.concat([frame, Buffer.from("xyz")])).length,
        ]);
      }
      case "/dictionary": {
        const dictionary = Buffer.from("hello hello");
        return Response.json([
          hex(zlib.zstdCompressSync(data, { dictionary })) === WITH_DICTIONARY,
          unpack(WITH_DICTIONARY, { dictionary }).equals(data),
          thrown(() => unpack(WITH_DICTIONARY)),
        ]);
      }
      case "/shape": {
        const base = Object.getPrototypeOf(ZstdCompress);
        return Response.json({
          classes: [ZstdCompress.name, base.name, Object.getPrototypeOf(base).name],
          call: thrown(() => ZstdCompress({})),
          constants: [C.ZSTD_e_continue, C.ZSTD_e_flush, C.ZSTD_e_end, C.ZSTD_c_windowLog, C.ZSTD_d_windowLogMax, C.ZSTD_CLEVEL_DEFAULT],
          error: ZSTD_error_corruption_detected,
          count: Object.keys(C).filter((name) => name.startsWith("ZSTD_")).length,
        });
      }
      case "/ranges":
        return Response.json([
          thrown(() => new ZstdCompress({ flush: 3 })),
          thrown(() => new ZstdCompress({ chunkSize: 3 })),
          thrown(() => zlib.zstdCompress(data)),
        ]);
      case "/errors": {
        const broken = Buffer.from(PLAIN, "hex");
        broken[8] ^= 0xff;
        broken[broken.length - 1] ^= 0xff;
        const later = await new Promise((resolve) => zlib.zstdDecompress(Buffer.from("garbage"), (error) => resolve([error.code, error.errno])));
        return Response.json({
          unknown: thrown(() => zlib.zstdDecompressSync(Buffer.from("garbage not zstd"))),
          truncated: thrown(() => unpack(PLAIN.slice(0, -6))),
          nothing: thrown(() => zlib.zstdDecompressSync(Buffer.alloc(0))),
          corrupt: thrown(() => zlib.zstdDecompressSync(broken)),
          later,
          tooMuch: thrown(() => unpack(PLAIN, { maxOutputLength: 10 })),
          parameter: thrown(() => zlib.zstdCompressSync(data, { params: { 9999: 1 } })),
          name: thrown(() => zlib.zstdCompressSync(data, { params: { abc: 1 } })),
          type: thrown(() => zlib.zstdCompressSync(data, { params: { [C.ZSTD_c_compressionLevel]: "x" } })),
          value: thrown(() => zlib.zstdCompressSync(data, { params: { [C.ZSTD_c_windowLog]: 99 } })),
          window: thrown(() => unpack(PLAIN, { params: { [C.ZSTD_d_windowLogMax]: 99 } })),
          promised: thrown(() => zlib.zstdCompressSync(data, { pledgedSrcSize: 3 })),
          promise: thrown(() => zlib.zstdCompressSync(data, { pledgedSrcSize: -1 })).slice(0, 2),
          input: thrown(() => zlib.zstdCompressSync(5)).slice(0, 2),
          memory: await new Promise((resolve) => {
            const stream = zlib.createZstdCompress({ params: { [C.ZSTD_c_compressionLevel]: 22 } });
            stream.on("error", (error) => resolve([error.code]));
            stream.end("a");
            stream.resume();
          }),
        });
      }
    }
  },
};
