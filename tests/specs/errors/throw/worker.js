import { deep } from "./deep.js";
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/throw") throw new RangeError("thrown on purpose");
    if (pathname === "/reject") return Promise.reject(new TypeError("rejected on purpose"));
    if (pathname === "/value") throw "just a text";
    if (pathname === "/deep") return deep(null);
    return new Response("ok");
  },
};
