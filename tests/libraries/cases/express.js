import express from "express";
import { handleAsNodeRequest } from "cloudflare:node";
export default async () => {
  const app = express();
  app.use(express.json());
  app.get("/hello/:name", (request, response) => response.send(`hello ${request.params.name} ${request.query.x ?? ""}`));
  app.post("/sum", (request, response) => response.status(201).json({ sum: request.body.a + request.body.b }));
  app.get("/later", async () => {
    throw new Error("thrown later");
  });
  app.use((error, _request, response, _next) => response.status(500).json({ error: error.message }));
  const server = app.listen(8101);
  const ask = (path, init) => handleAsNodeRequest(8101, new Request(`http://a.test${path}`, init));
  const hello = await ask("/hello/ada?x=1");
  const sum = await ask("/sum", { method: "POST", headers: { "content-type": "application/json", "content-length": "13" }, body: '{"a":1,"b":2}' });
  const later = await ask("/later");
  const missing = await ask("/missing");
  const result = [await hello.text(), sum.status, await sum.json(), await later.json(), missing.status, hello.headers.get("x-powered-by"), hello.headers.has("etag")];
  server.close();
  return result;
};
export const expected = ["hello ada 1", 201, { sum: 3 }, { error: "thrown later" }, 404, "Express", true];
