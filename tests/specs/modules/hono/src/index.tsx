import { Hono } from "hono";
import { setCookie } from "hono/cookie";
import { stream } from "hono/streaming";

const app = new Hono<{ Bindings: { ORIGIN: string } }>();

app.use(async (context, next) => {
  await next();
  context.header("X-Powered-By", "middleware");
});
app.get("/", (context) =>
  context.html(
    <html>
      <body>
        <h1>Hello {"Hono"}</h1>
      </body>
    </html>,
  ),
);
app.get("/api/users/:id/posts/:post", (context) => {
  const { id, post } = context.req.param();
  return context.json({ id, post, full: context.req.query("full") });
});
app.post("/api/items", async (context) => {
  const { name } = await context.req.json<{ name: string }>();
  setCookie(context, "seen", "1");
  return context.json({ made: name }, 201);
});
app.get("/stream", (context) =>
  stream(context, async (out) => {
    await out.write("one ");
    await fetch(`${context.env.ORIGIN}/gate/1`);
    await out.write("two ");
  }),
);
app.get("/fails", () => {
  throw new Error("on purpose");
});
app.onError((error, context) => context.text(`caught: ${error.message}`, 500));

export default app;
