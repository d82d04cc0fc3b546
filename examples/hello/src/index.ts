/** One worker, two answers: text at `/`, JSON at `/api`. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    const name = url.searchParams.get("name") ?? "world";
    if (url.pathname === "/api") {
      return Response.json({ greeting: env.GREETING, name, method: request.method });
    }
    if (url.pathname !== "/") {
      return new Response("There is nothing here. Try / or /api\n", { status: 404 });
    }
    return new Response(`${env.GREETING}, ${name}!\n`);
  },
};
