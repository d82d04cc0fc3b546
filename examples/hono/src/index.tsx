import { Hono } from "hono";
import { requestId } from "hono/request-id";
import { streamSSE, streamText } from "hono/streaming";
import { timing } from "hono/timing";
import { Layout } from "./layout";

const app = new Hono<{ Bindings: Env }>();

app.use(requestId());
app.use(timing());

app.get("/", (c) =>
  c.html(
    <Layout title="Hono on Atoll">
      <h1>Hono on Atoll</h1>
      <p>This page is TSX, rendered by a worker.</p>
      <ul>
        <li>
          <a href="/api/hello/Ada">JSON from a route with a parameter</a>
        </li>
        <li>
          <a href="/stream">Text, a line at a time</a>
        </li>
        <li>
          <a href="/events">Server-sent events</a>
        </li>
        <li>
          <a href="/style.css">A static asset</a>
        </li>
      </ul>
    </Layout>,
  ),
);

app.get("/api/hello/:name", (c) => c.json({ hello: c.req.param("name"), id: c.get("requestId") }));

app.post("/api/echo", async (c) => c.json({ received: await c.req.json() }));

app.get("/stream", (c) =>
  streamText(c, async (stream) => {
    for (let line = 1; line <= 5; line++) {
      await stream.writeln(`line ${line} of 5`);
      await stream.sleep(200);
    }
  }),
);

app.get("/events", (c) =>
  streamSSE(c, async (stream) => {
    for (let id = 0; id < 3; id++) {
      await stream.writeSSE({ id: String(id), event: "tick", data: new Date().toISOString() });
      await stream.sleep(200);
    }
  }),
);

app.notFound((c) => c.json({ error: "not found", path: c.req.path }, 404));

app.onError((error, c) => {
  console.error(error);
  return c.json({ error: error.message }, 500);
});

export default app;
