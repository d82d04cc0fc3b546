export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/nothing") return;
    if (pathname === "/text") return "a text";
    if (pathname === "/object") return { status: 200 };
    return new Response("ok");
  },
};
