export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/made") {
      return await env.API.fetch("http://any.host/path?q=1", {
        method: "PUT",
        body: "made here",
        headers: { "x-a": "1" },
        cf: { colo: "HERE" },
      });
    }
    return await env.API.fetch(request);
  },
};
