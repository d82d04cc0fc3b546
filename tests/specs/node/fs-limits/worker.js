import fs from "node:fs";

const tried = (act) => {
  try {
    return act() ?? null;
  } catch (error) {
    return error.code;
  }
};

const routes = {
  names: () => [
    tried(() => fs.mkdirSync(`/tmp/${"a/".repeat(5000)}`, { recursive: true })),
    tried(() => fs.writeFileSync(`/tmp/${"n".repeat(256)}`, "")),
    tried(() => fs.writeFileSync(`/tmp/${"n".repeat(255)}`, "")),
    tried(() => fs.existsSync(`/tmp/${"a/".repeat(5000)}`)),
  ],
  copies() {
    fs.mkdirSync("/tmp/x/below", { recursive: true });
    fs.writeFileSync("/tmp/x/a.txt", "a");
    fs.symlinkSync("/tmp/x", "/tmp/x/below/up");
    return [
      tried(() => fs.cpSync("/tmp/x", "/tmp/x/below/copy", { recursive: true })),
      tried(() => fs.cpSync("/tmp/x", "/tmp/x", { recursive: true })),
      tried(() => fs.cpSync("/tmp/x", "/tmp/xy", { recursive: true })),
      fs.readdirSync("/tmp/xy", { recursive: true }),
      fs.readlinkSync("/tmp/xy/below/up"),
    ];
  },
  deep() {
    fs.mkdirSync(`/tmp/${"a/".repeat(500)}`, { recursive: true });
    const all = fs.readdirSync("/tmp", { recursive: true });
    fs.cpSync("/tmp/a", "/tmp/b", { recursive: true });
    fs.rmSync("/tmp/a", { recursive: true });
    return [all.length, all.at(-1).length, fs.readdirSync("/tmp", { recursive: true }).length];
  },
};

export default {
  async fetch(request) {
    return Response.json(await routes[new URL(request.url).pathname.slice(1)]());
  },
};
