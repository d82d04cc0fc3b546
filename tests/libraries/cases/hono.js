import { Hono } from "hono";
import { jwt, sign } from "hono/jwt";
import { etag } from "hono/etag";
export default async () => {
  const app = new Hono();
  app.use("/etag", etag());
  app.get("/etag", (context) => context.text("stable"));
  app.use("/private/*", jwt({ secret: "secret", alg: "HS256" }));
  app.get("/private/me", (context) => context.json(context.get("jwtPayload").sub));
  const token = await sign({ sub: "ada" }, "secret");
  const a = await app.request("/private/me", { headers: { authorization: `Bearer ${token}` } });
  const b = await app.request("/private/me");
  const c = await app.request("/etag");
  return [await a.json(), b.status, c.headers.get("etag")?.length > 10];
};
export const expected = ["ada", 401, true];
