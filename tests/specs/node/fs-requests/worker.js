import fs from "node:fs";

fs.writeFileSync("/tmp/top", "of the modules");
const top = fs.readdirSync("/tmp");
let requests = 0;

export default {
  async fetch(request, _env, ctx) {
    const found = fs.readdirSync("/tmp");
    fs.writeFileSync("/tmp/mine", `request ${++requests}`);
    await fs.promises.mkdir("/tmp/a/b", { recursive: true });
    // Still its own after a wait, and in what it leaves behind.
    await scheduler.wait(5);
    ctx.waitUntil(scheduler.wait(5).then(() => console.log("later", fs.readdirSync("/tmp").sort().join())));
    return Response.json([top, found, fs.readFileSync("/tmp/mine", "utf8"), fs.readdirSync("/tmp").sort(), fs.readdirSync("/").sort()]);
  },
};
