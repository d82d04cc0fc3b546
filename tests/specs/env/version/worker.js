export default {
  fetch(request, env) {
    const { id, tag, timestamp } = env.VERSION;
    return Response.json([typeof id, typeof tag, typeof timestamp, id.length > 0]);
  },
};
