let kept;
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/read") {
      const response = new Response("read");
      await response.text();
      return response;
    }
    if (pathname === "/twice") return (kept ??= new Response("first"));
    return new Response("ok");
  },
};
