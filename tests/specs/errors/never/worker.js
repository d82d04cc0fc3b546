export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/never") return new Promise(() => {});
    if (pathname === "/slow") {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return new Response("slow but sure");
    }
    return new Response("ok");
  },
};
