import polka from "polka";
import { handleAsNodeRequest } from "cloudflare:node";
export default async () => {
  const app = polka()
    .use((request, _response, next) => {
      request.started = true;
      next();
    })
    .get("/users/:id", (request, response) => response.end(`${request.params.id} ${request.started} ${request.query.x}`));
  app.listen(8104);
  const ask = (path) => handleAsNodeRequest(8104, new Request(`http://a.test${path}`));
  const user = await ask("/users/7?x=y");
  return [await user.text(), (await ask("/missing")).status];
};
export const expected = ["7 true y", 404];
