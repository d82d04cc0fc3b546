export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/redirect") return Response.redirect("http://other/target", 302);
    return new Response(`${request.method} ${request.url} ${await request.text()}`);
  },
};
