export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/a") return new Response((await import("./a.js")).next());
    if (pathname === "/b") return new Response((await import("./b.js")).default());
    const name = `./${pathname.slice(1)}.js`;
    return new Response(await import(name).then(() => "loaded", () => "rejected"));
  },
};
