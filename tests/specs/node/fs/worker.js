import fs from "node:fs";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";

function codeOf(run) {
  try {
    run();
    return "no error";
  } catch (error) {
    return [error.code, error.syscall];
  }
}

export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/tmp": {
        await mkdir("/tmp/a/b", { recursive: true });
        await writeFile("/tmp/a/b/one.txt", "one");
        fs.appendFileSync("/tmp/a/b/one.txt", " two");
        fs.renameSync("/tmp/a/b/one.txt", "/tmp/a/two.txt");
        const text = await readFile("/tmp/a/two.txt", "utf8");
        const facts = [text, (await readdir("/tmp/a")).sort(), fs.statSync("/tmp/a/two.txt").size, fs.statSync("/tmp/a").isDirectory()];
        await rm("/tmp/a", { recursive: true });
        return Response.json([...facts, fs.existsSync("/tmp/a")]);
      }
      case "/errors":
        return Response.json([
          codeOf(() => fs.readFileSync("/tmp/missing")),
          codeOf(() => fs.mkdirSync("/tmp")),
          codeOf(() => fs.statSync("/tmp/missing/deeper")),
        ]);
      case "/callback":
        return Response.json(
          await new Promise((resolve) => fs.readFile("/tmp/missing", (error, data) => resolve([error.code, data === undefined]))),
        );
    }
  },
};
