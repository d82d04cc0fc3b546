export default {
  async fetch(request, env) {
    if (request.method === "POST") return new Response("worker alone");
    return new Response(`worker saw ${await (await env.ASSETS.fetch(request)).text()}`);
  },
};
