let count = 0;

export default {
  async fetch(request, _env, ctx) {
    switch (new URL(request.url).pathname) {
      case "/count":
        return new Response(String(++count));
      case "/abort":
        ctx.abort(new Error("why"));
        return new Response("after");
      case "/caught":
        try {
          ctx.abort();
        } catch {
          await scheduler.wait(5);
        }
        return new Response("caught");
      case "/exit":
        try {
          process.exit(3);
        } catch {
          return new Response("caught");
        }
        return new Response("after");
      default:
        ctx.waitUntil(scheduler.wait(5).then(() => ctx.abort(new Error("later"))));
        return new Response("now");
    }
  },
};
