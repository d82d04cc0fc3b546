/**
 * The guestbook: pages, forms, a JSON route, a WebSocket and an hourly tidying-up.
 *
 * Everything works without JavaScript in the browser; `public/client.js` adds local times and the echo panel.
 */
import { Hono } from "hono";
import { stream } from "hono/streaming";
import { echo } from "./echo";
import { countVisit, listEntries, readEntries, sign, trim } from "./book";
import { checkEntry, type Draft } from "./draft";
import { Page } from "./page";

/** How many entries a page shows, and how many of them are read and sent at a time. */
const PAGE_ENTRIES = 20;
const PIECE_ENTRIES = 5;

/** The pause between two pieces of the page that `/?slow` shows being streamed, milliseconds. */
const SLOW_MS = 400;

const app = new Hono<{ Bindings: Env }>();

app.use(async (c, next) => {
  await next();
  if (c.res.status === 101) return;
  c.header("Content-Security-Policy", "default-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
  c.header("Referrer-Policy", "same-origin");
  c.header("X-Content-Type-Options", "nosniff");
});

app.get("/", (c) => {
  const book = c.env.GUESTBOOK;
  const page = new Page(c.env.TITLE);
  const slow = c.req.query("slow") !== undefined;
  const cursor = c.req.query("older") ?? null;
  c.header("Content-Type", "text/html; charset=utf-8");
  c.header("Cache-Control", "no-store");
  return stream(
    c,
    async (out) => {
      const pause = () => (slow ? out.sleep(SLOW_MS) : Promise.resolve());
      // What needs no data goes out first: the browser draws it while the book is still being read.
      await out.write(page.start({ draft: {}, problems: {}, signed: c.req.query("signed") !== undefined }));
      await pause();
      await out.write(page.visits(await countVisit(book)));
      const list = await listEntries(book, PAGE_ENTRIES, cursor);
      await out.write(page.listStart(list.keys.length));
      for (let at = 0; at < list.keys.length && !out.aborted; at += PIECE_ENTRIES) {
        await pause();
        const entries = await readEntries(book, list.keys.slice(at, at + PIECE_ENTRIES));
        await out.write(entries.map((entry) => page.entry(entry)).join(""));
      }
      await out.write(page.listEnd(list.cursor) + page.end());
    },
    async (error, out) => {
      console.error("the page could not be finished:", error);
      await out.write(page.failed());
    },
  );
});

app.post("/", async (c) => {
  // A form on another site must not sign in a visitor's name.
  const origin = c.req.header("Origin");
  if (origin !== undefined && origin !== "null" && origin !== new URL(c.req.url).origin) {
    return c.text("This form can be sent from the guestbook itself only.\n", 403);
  }
  const form = await c.req.parseBody();
  const draft: Draft = { name: form["name"], message: form["message"] };
  const checked = checkEntry(draft);
  if (!checked.ok) {
    const page = new Page(c.env.TITLE);
    return c.html(page.start({ draft, problems: checked.problems, signed: false }) + page.end(), 422);
  }
  await sign(c.env.GUESTBOOK, checked.name, checked.message, Date.now());
  return c.redirect("/?signed#entries", 303);
});

app.get("/api/entries", async (c) => {
  const list = await listEntries(c.env.GUESTBOOK, PAGE_ENTRIES, c.req.query("cursor") ?? null);
  return c.json({ entries: await readEntries(c.env.GUESTBOOK, list.keys), cursor: list.cursor });
});

app.get("/ws", (c) => {
  if (c.req.header("Upgrade")?.toLowerCase() !== "websocket") {
    return c.text("This address speaks WebSocket.\n", 426, { Upgrade: "websocket" });
  }
  return echo();
});

app.notFound((c) => c.html(new Page(c.env.TITLE).message("Nothing here", "This page does not exist."), 404));

app.onError((error, c) => {
  console.error(error);
  return c.html(new Page(c.env.TITLE).message("That did not work", "Something went wrong on our side."), 500);
});

export default {
  fetch: app.fetch,

  async scheduled(controller: ScheduledController, env: Env): Promise<void> {
    const removed = await trim(env.GUESTBOOK, env.ENTRIES_KEPT);
    console.log(`${controller.cron}: ${removed} old entries removed`);
  },
};
