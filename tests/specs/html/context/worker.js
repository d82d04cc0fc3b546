import { AsyncLocalStorage } from "node:async_hooks";
const storage = new AsyncLocalStorage();
export default {
  async fetch() {
    const seen = [];
    const response = storage.run("at transform", () =>
      new HTMLRewriter().on("p", {
        async element() {
          seen.push(storage.getStore());
          await scheduler.wait(1);
          seen.push(storage.getStore());
        },
        text: (t) => void (t.lastInTextNode && seen.push(storage.getStore())),
      }).transform(new Response("<p>x</p>")));
    await storage.run("at read", () => response.text());
    return Response.json(seen);
  },
};
