export default {
  async fetch(request, env) {
    return new Response(await env.API.hello());
  },
};
