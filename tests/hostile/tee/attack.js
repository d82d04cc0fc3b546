export default async function attack() {
  let stream = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(1 << 16).fill(1));
    },
  });
  const kept = [];
  for (let i = 0; i < 20; i++) {
    const [a, b] = stream.tee();
    kept.push(a);
    stream = b;
  }
  for await (const piece of stream) kept.push(piece.slice());
}
