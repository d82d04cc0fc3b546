export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/fails") {
      ctx.waitUntil(Promise.reject(new Error("lost in the background")));
      return new Response("fine");
    }
    const work = async () => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      const response = await fetch(`${env.ORIGIN}/status/200`);
      console.log("done later", response.status);
    };
    ctx.waitUntil(work());
    return new Response("at once");
  },
};
