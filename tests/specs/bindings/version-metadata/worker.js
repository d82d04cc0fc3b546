export default {
  fetch(request, env) {
    return Response.json(env.VERSION);
  },
};
