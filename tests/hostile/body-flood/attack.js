export default function attack() {
  const piece = new Uint8Array(64 * 1024);
  return new Response(
    new ReadableStream({
      pull(controller) {
        controller.enqueue(piece);
      },
    }),
  );
}
