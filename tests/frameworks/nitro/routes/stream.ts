export default defineEventHandler((event) => {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async start(controller) {
      controller.enqueue(encoder.encode("first\n"));
      await new Promise((resolve) => setTimeout(resolve, 300));
      controller.enqueue(encoder.encode("later\n"));
      controller.close();
    },
  });
});
