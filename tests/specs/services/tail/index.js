export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    console.log("seen", { path: pathname });
    if (pathname === "/throws") throw new RangeError("thrown in fetch");
    ctx.waitUntil(scheduler.wait(1).then(() => console.warn("waited")));
    return new Response("answered", { status: 202 });
  },
};
