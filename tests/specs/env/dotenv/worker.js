export default {
  fetch(request, env) {
    return Response.json(Object.fromEntries(Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))));
  },
};
