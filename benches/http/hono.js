// A Hono router with 20 routes and a middleware; the measured one has two parameters.
import { Hono } from "hono";

const app = new Hono();
app.use(async (context, next) => {
  await next();
  context.header("x-served-by", "hono");
});
for (const name of ["users", "posts", "comments", "tags", "files", "teams"]) {
  app.get(`/api/v1/${name}`, (context) => context.json({ list: name }));
  app.get(`/api/v1/${name}/:id`, (context) => context.json({ [name]: context.req.param("id") }));
  app.post(`/api/v1/${name}`, (context) => context.json({ made: name }, 201));
}
app.get("/", (context) => context.text("home"));
app.get("/api/v1/users/:id/posts/:post", (context) => {
  const { id, post } = context.req.param();
  return context.json({ id, post });
});
export default app;
