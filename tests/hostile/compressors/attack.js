import zlib from "node:zlib";

export default function attack() {
  const all = [];
  for (;;) all.push(new CompressionStream("gzip"), new DecompressionStream("deflate"), zlib.createBrotliCompress());
}
