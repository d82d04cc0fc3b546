export default {
  async fetch(request, env) {
    const go = (path, init) => fetch(env.ORIGIN + path, init);
    switch (new URL(request.url).pathname) {
      case "/status": {
        const response = await go("/status/404");
        return Response.json([response.status, response.ok, await response.text(), response.url]);
      }
      case "/cookies": {
        const { headers } = await go("/cookies");
        return Response.json([headers.getSetCookie(), headers.get("x-list")]);
      }
      case "/gzip": {
        const response = await go("/gzip");
        return Response.json([await response.text(), response.ok]);
      }
      case "/pieces":
        return new Response((await go("/pieces/3")).body);
      case "/nobody": {
        const response = await go("/status/204");
        return Response.json([response.status, response.body, await response.text()]);
      }
      case "/pass":
        return go("/status/418");
      default:
        await go("/pieces/5");
        return new Response("fine");
    }
  },
};
