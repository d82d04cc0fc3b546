// What the KV case does, without the read.
export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/fill") return new Response("filled");
    return new Response(await "value 42 ".repeat(10));
  },
};
