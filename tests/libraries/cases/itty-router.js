import { AutoRouter, error } from "itty-router";
const router = AutoRouter();
router.get("/todos/:id", ({ params }) => ({ id: params.id })).get("/fail", () => error(418, "teapot"));
export default async () => {
  const a = await router.fetch(new Request("http://example.com/todos/7"));
  const b = await router.fetch(new Request("http://example.com/fail"));
  const c = await router.fetch(new Request("http://example.com/none"));
  return [await a.json(), b.status, c.status];
};
export const expected = [{ id: "7" }, 418, 404];
