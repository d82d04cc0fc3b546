const encoder = new TextEncoder();
export default {
  async fetch(request, env, ctx) {
    switch (new URL(request.url).pathname) {
      case "/before": {
        const gone = new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        ctx.waitUntil(gone.then(() => console.log("before aborted", request.signal.aborted)));
        console.log("before waits");
        await fetch(`${env.ORIGIN}/never`);
        return new Response("never");
      }
      case "/during":
        return new Response(
          new ReadableStream({
            pull(controller) {
              controller.enqueue(encoder.encode("start;"));
              return new Promise((resolve) => setTimeout(resolve, 20));
            },
            cancel() {
              console.log("during canceled");
            },
          }),
        );
      default:
        return new Response(String(request.signal.aborted));
    }
  },
};
