export default {
  fetch(request, env, ctx) {
    let apart = "nothing";
    try {
      const { waitUntil } = ctx;
      waitUntil(Promise.resolve());
    } catch (error) {
      apart = error.name;
    }
    ctx.passThroughOnException();
    return Response.json([typeof ctx.waitUntil, typeof ctx.passThroughOnException, apart, this === undefined || typeof this === "object"]);
  },
};
