export default {
  fetch(request, env, ctx) {
    ctx.waitUntil(scheduler.wait(1).then(() => console.log("short")));
    ctx.waitUntil(scheduler.wait(1e6).then(() => console.log("long")));
    return new Response("ok");
  },
};
