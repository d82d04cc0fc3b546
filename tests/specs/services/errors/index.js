export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    try {
      if (pathname === "/fetch") return await env.API.fetch("http://h/");
      return Response.json(await env.API[pathname.slice(1)]());
    } catch (error) {
      return new Response(`${error.name}: ${error.message}`);
    }
  },
};
