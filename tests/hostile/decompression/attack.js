export default async function attack() {
  const zeros = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(1 << 20));
    },
  });
  const packed = zeros.pipeThrough(new CompressionStream("gzip")).pipeThrough(new DecompressionStream("gzip"));
  const all = [];
  for await (const piece of packed) all.push(piece);
}
