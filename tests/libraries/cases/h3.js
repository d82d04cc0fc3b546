import { H3 } from "h3";
export default async () => {
  const app = new H3().get("/hello/:name", (event) => ({ hello: event.context.params.name })).post("/echo", async (event) => event.req.json());
  const a = await app.fetch(new Request("http://example.com/hello/ada"));
  const b = await app.fetch(new Request("http://example.com/echo", { method: "POST", body: '{"x":1}' }));
  return [await a.json(), await b.json()];
};
export const expected = [{ hello: "ada" }, { x: 1 }];
