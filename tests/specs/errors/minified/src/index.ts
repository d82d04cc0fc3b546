import { fail } from "./deep/fail";

export default {
  fetch(request: Request): Response {
    return new URL(request.url).pathname === "/ok" ? new Response("ok") : fail(request.method);
  },
};
