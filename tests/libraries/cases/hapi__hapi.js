import Hapi from "@hapi/hapi";
import { handleAsNodeRequest } from "cloudflare:node";
export default async () => {
  const server = Hapi.server({ port: 8106 });
  server.route({ method: "GET", path: "/hello/{name}", handler: (request) => ({ hello: request.params.name }) });
  await server.start();
  const ask = (path) => handleAsNodeRequest(8106, new Request(`http://a.test${path}`));
  return [await (await ask("/hello/ada")).json(), (await ask("/missing")).status];
};
export const expected = [{ hello: "ada" }, 404];
