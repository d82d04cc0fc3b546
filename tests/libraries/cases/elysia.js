import { Elysia } from "elysia";
export default async () => {
  const app = new Elysia({ aot: false }).get("/id/:id", ({ params }) => params.id).post("/json", ({ body }) => body);
  const a = await app.handle(new Request("http://example.com/id/5"));
  const b = await app.handle(new Request("http://example.com/json", { method: "POST", headers: { "content-type": "application/json" }, body: '{"x":1}' }));
  return [await a.text(), await b.json()];
};
export const expected = ["5", { x: 1 }];
