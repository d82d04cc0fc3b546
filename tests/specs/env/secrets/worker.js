export default {
  fetch(request, env) {
    return new Response(String(env.TOKEN.length));
  },
};
