export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/fetch") return await env.GONE.fetch("http://h/");
    try {
      return new Response(await env.GONE.method());
    } catch (error) {
      return new Response(error.message);
    }
  },
};
