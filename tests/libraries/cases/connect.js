import connect from "connect";
import { createServer } from "node:http";
import { handleAsNodeRequest } from "cloudflare:node";
export default async () => {
  const app = connect();
  app.use("/api", (request, response) => response.end(`api ${request.url}`));
  app.use((_request, _response, next) => next(new Error("on purpose")));
  app.use((error, _request, response, _next) => {
    response.statusCode = 503;
    response.end(error.message);
  });
  createServer(app).listen(8105);
  const ask = (path) => handleAsNodeRequest(8105, new Request(`http://a.test${path}`));
  const [api, other] = [await ask("/api/x"), await ask("/other")];
  return [await api.text(), other.status, await other.text()];
};
export const expected = ["api /x", 503, "on purpose"];
