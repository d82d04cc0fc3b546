import { once } from "node:events";
import fs, { Dir } from "node:fs";
import fsp from "node:fs/promises";

const tried = async (act) => {
  try {
    return (await act()) ?? null;
  } catch (error) {
    return `${error.name} ${error.code}`;
  }
};

function fill() {
  fs.mkdirSync("/tmp/x/below", { recursive: true });
  fs.writeFileSync("/tmp/x/a.txt", "one\ntwo\r\nthree");
  fs.writeFileSync("/tmp/x/b.md", "b");
}

const routes = {
  async directory() {
    const sync = [];
    const dir = fs.opendirSync("/tmp/x");
    for (let entry; (entry = dir.readSync()) !== null;) sync.push(`${entry.name} ${entry.isFile()}`);
    dir.closeSync();
    const iterated = [];
    for await (const { name } of await fsp.opendir("/tmp/x")) iterated.push(name);
    const called = await new Promise((resolve, reject) => {
      fs.opendir("/tmp/x/below", (error, opened) => {
        if (error) reject(error);
        else opened.read((problem, entry) => opened.close(() => resolve([problem, entry])));
      });
    });
    return [dir.path, dir instanceof Dir, sync.sort(), iterated.sort(), called];
  },
  async directoryErrors() {
    const closed = fs.opendirSync("/tmp/x");
    closed.closeSync();
    return [
      await tried(() => fs.opendirSync("/tmp/none")),
      await tried(() => fs.opendirSync("/tmp/x/a.txt")),
      await tried(() => closed.readSync()),
      await tried(() => closed.closeSync()),
      await tried(() => new Dir()),
    ];
  },
  async links() {
    fs.linkSync("/tmp/x/b.md", "/tmp/x/c.md");
    fs.writeFileSync("/tmp/x/c.md", "by its other name");
    const read = fs.readFileSync("/tmp/x/b.md", "utf8");
    fs.unlinkSync("/tmp/x/b.md");
    return [
      read,
      fs.readFileSync("/tmp/x/c.md", "utf8"),
      await tried(() => fs.linkSync("/tmp/x/a.txt", "/tmp/x/c.md")),
      await tried(() => fsp.link("/tmp/none", "/tmp/x/d")),
      await tried(() => fs.linkSync("/tmp/x/below", "/tmp/x/d")),
    ];
  },
  async vectors() {
    const fd = fs.openSync("/tmp/x/v", "w+");
    const written = fs.writevSync(fd, [Buffer.from("ab"), Buffer.from("cde")]);
    const parts = [Buffer.alloc(3), Buffer.alloc(3)];
    const read = fs.readvSync(fd, parts, 0);
    const called = await new Promise((resolve) => fs.readv(fd, [Buffer.alloc(9)], 1, (error, count, buffers) => resolve([error, count, buffers.length])));
    return [written, read, parts.map(String), called, await tried(() => fs.writevSync(fd, "x"))];
  },
  async attributes() {
    fs.lutimesSync("/tmp/x/a.txt", new Date(5), new Date(9));
    const times = fs.statSync("/tmp/x/a.txt").mtimeMs;
    const fd = fs.openSync("/tmp/x/a.txt", "r+");
    fs.futimesSync(fd, new Date(5), new Date(11));
    return [
      times,
      fs.fstatSync(fd).mtimeMs,
      await tried(() => fsp.chown("/tmp/x/a.txt", 1, 1)),
      await tried(() => fs.chmodSync("/tmp/none", 0o600)),
      await tried(() => fs.chmodSync("/tmp/x/a.txt", "zz")),
      await tried(() => fs.chmodSync("/tmp/x/a.txt")),
      await tried(() => fs.chownSync("/tmp/x/a.txt", "a", 1)),
      Object.keys(fs.statfsSync("/tmp")),
      await (await fs.openAsBlob("/tmp/x/a.txt", { type: "text/plain" })).text(),
    ];
  },
  mode() {
    fs.chmodSync("/tmp/x/a.txt", "640");
    const { mode } = fs.statSync("/tmp/x/a.txt");
    fs.linkSync("/tmp/x/a.txt", "/tmp/x/l");
    return [(mode & 0o777).toString(8), fs.statSync("/tmp/x/l").nlink];
  },
  async handle() {
    const handle = await fsp.open("/tmp/x/a.txt", "r+");
    const parts = [Buffer.alloc(2), Buffer.alloc(2)];
    const { bytesRead } = await handle.readv(parts, 0);
    await handle.chmod(0o600);
    await handle.chown(1, 1);
    await handle.utimes(1, 2);
    const whole = await new Response(handle.readableWebStream()).text();
    await handle.close();
    const out = await fsp.open("/tmp/x/out", "w");
    const stream = out.createWriteStream();
    stream.end("written");
    await once(stream, "close");
    let read = "";
    for await (const chunk of (await fsp.open("/tmp/x/out")).createReadStream()) read += chunk;
    return [bytesRead, parts.map(String), whole, read];
  },
  async lines() {
    const lines = [];
    for await (const line of (await fsp.open("/tmp/x/a.txt")).readLines()) lines.push(line);
    return lines;
  },
  async glob() {
    const promised = [];
    for await (const name of fsp.glob("/tmp/x/*.txt")) promised.push(name);
    return [fs.globSync("**/*.md", { cwd: "/tmp/x" }), promised, fs.globSync("/tmp/x/*", { exclude: ["**/*.md"] }).sort()];
  },
};

export default {
  async fetch(request) {
    fill();
    return Response.json(await routes[new URL(request.url).pathname.slice(1)]());
  },
};
