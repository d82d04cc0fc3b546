export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    // As a worker in front of its assets passes a request on: its redirects are the client's.
    if (!pathname.startsWith("/ask/")) return env.ASSETS.fetch(request);
    const mode = pathname.slice("/ask/".length);
    const init = mode === "head" ? { method: "HEAD" } : { redirect: mode };
    try {
      const response = await env.ASSETS.fetch("http://a.test/about.html", init);
      return Response.json([response.status, response.redirected, response.url, response.headers.get("location"), await response.text()]);
    } catch (error) {
      return Response.json(`${error.name}: ${error.message}`);
    }
  },
};
