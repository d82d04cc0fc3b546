export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/inner") return new Response("inner");
    const inner = await env.WORKER_SELF_REFERENCE.fetch(new URL("/inner", request.url));
    return new Response(`outer of ${await inner.text()}`);
  },
};
