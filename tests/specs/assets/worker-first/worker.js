export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/through") {
      const page = await env.ASSETS.fetch(new URL("/about", request.url));
      return new Response((await page.text()).toUpperCase(), { headers: { "x-status": String(page.status) } });
    }
    if (pathname === "/missing-inside") {
      const none = await env.ASSETS.fetch("https://assets.local/none.txt");
      return new Response(String(none.status));
    }
    return new Response(`worker ${pathname}`);
  },
};
