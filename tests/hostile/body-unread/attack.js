export default function attack() {
  return new Response(
    new ReadableStream({
      async start(controller) {
        for (;;) {
          controller.enqueue(new Uint8Array(1 << 20));
          await scheduler.wait(1);
        }
      },
    }),
  );
}
