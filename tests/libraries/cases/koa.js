import Koa from "koa";
import { handleAsNodeRequest } from "cloudflare:node";
export default async () => {
  const app = new Koa();
  app.silent = true;
  const seen = [];
  app.use(async (context, next) => {
    seen.push(`> ${context.path}`);
    await next();
    seen.push(`< ${context.status}`);
  });
  app.use((context) => {
    if (context.path === "/throw") context.throw(418, "short and stout");
    if (context.path !== "/hello") return;
    context.cookies.set("a", "1");
    context.body = { hello: context.query.name, type: context.accepts("html", "json") };
  });
  const server = app.listen(8102);
  const ask = (path) => handleAsNodeRequest(8102, new Request(`http://a.test${path}`, { headers: { accept: "application/json" } }));
  const hello = await ask("/hello?name=ada");
  const missing = await ask("/missing");
  const thrown = await ask("/throw");
  const result = [await hello.json(), hello.headers.get("set-cookie"), missing.status, thrown.status, await thrown.text(), seen];
  server.close();
  return result;
};
export const expected = [
  { hello: "ada", type: "json" },
  "a=1; path=/; httponly",
  404,
  418,
  "short and stout",
  ["> /hello", "< 200", "> /missing", "< 404", "> /throw"],
];
