import { env, waitUntil } from "cloudflare:workers";
const atTop = env.GREETING;
function far() {
  waitUntil(
    new Promise((resolve) => setTimeout(resolve, 10)).then(() => console.log("after the response")),
  );
  return env.GREETING;
}
export default {
  fetch(request, given) {
    return Response.json([atTop, far(), given.GREETING === env.GREETING]);
  },
};
