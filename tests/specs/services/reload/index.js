export default {
  async fetch(request, env) {
    return new Response(`web sees ${await env.API.version()}`);
  },
};
