export default {
  async fetch(request) {
    if (new URL(request.url).pathname === "/ok") return new Response("ok");
    const input = new ReadableStream({
      async pull(controller) {
        await scheduler.wait(10);
        controller.enqueue(new TextEncoder().encode(`<p>${"x".repeat(1000)}</p>`));
      },
      cancel() {
        console.log("input cancelled");
      },
    });
    return new HTMLRewriter().on("p", { element: (e) => void e.append("!") }).transform(new Response(input));
  },
};
