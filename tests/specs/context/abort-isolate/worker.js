import { abortIsolate } from "cloudflare:workers";

let asked = 0;

export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/count") return new Response(`${++asked}`);
    try {
      abortIsolate(pathname.slice(1));
    } catch {
      // It cannot be caught.
    }
    return new Response("after");
  },
};
