const code = `
import { WorkerEntrypoint } from "cloudflare:workers";
let served = 0;
export default {
  fetch(request, env, ctx) {
    return Response.json({ served: ++served, url: request.url, env, props: ctx.props, exports: Object.keys(ctx.exports) });
  },
};
export class Named extends WorkerEntrypoint {
  add(a, b) { return a + b + (this.ctx.props.more ?? 0); }
  async call(f) { return "called " + (await f(3)); }
  own() { return this.ctx.exports.Named({ props: { more: 100 } }).add(1, 1); }
  fetch() { return new Response("named " + JSON.stringify(this.ctx.props)); }
}`;
let asked = 0;

function source(more = {}) {
  return () => {
    asked++;
    return { compatibilityDate: "2026-01-01", mainModule: "main.js", modules: { "main.js": code }, ...more };
  };
}

const json = async (response) => (await response).json();

const cases = {
  async warm(loader) {
    const worker = loader.get("warm", source({ env: { A: 1, O: { x: [1] } } }));
    const again = loader.get("warm", () => { throw new Error("must not be asked for"); });
    return [
      await json(worker.getEntrypoint().fetch("http://a/1")),
      await json(again.getEntrypoint().fetch("http://a/2")),
      asked,
    ];
  },
  async kept(loader) {
    return [await json(loader.get("warm", source()).getEntrypoint().fetch("http://a/3")), asked];
  },
  async entrypoints(loader) {
    const worker = loader.get("entries", async () => source()());
    return [
      await worker.getEntrypoint("Named").add(1, 2),
      await worker.getEntrypoint("Named", { props: { more: 10 } }).add(1, 2),
      await (await worker.getEntrypoint("Named", { props: { p: 1 } }).fetch("http://a/")).text(),
      (await json(worker.getEntrypoint(undefined, { props: { d: 1 } }).fetch("http://a/"))).props,
      (await json(worker.getEntrypoint(null).fetch("http://a/"))).props,
      (await json(worker.getEntrypoint("default").fetch("http://a/"))).props,
      await worker.getEntrypoint("Named").call((x) => x * 2),
      await worker.getEntrypoint("Named").own(),
    ];
  },
  async anonymous(loader) {
    const loaded = loader.load(source()());
    return [
      (await json(loaded.getEntrypoint().fetch("http://a/"))).served,
      (await json(loaded.getEntrypoint().fetch("http://a/"))).served,
      (await json(loader.get(null, source()).getEntrypoint().fetch("http://a/"))).served,
      (await json(loader.get(null, source()).getEntrypoint().fetch("http://a/"))).served,
    ];
  },
  async together(loader) {
    let count = 0;
    const slow = async () => {
      count++;
      await scheduler.wait(20);
      return source()();
    };
    const workers = [loader.get("together", slow), loader.get("together", slow)];
    const answers = await Promise.all(workers.map((worker) => json(worker.getEntrypoint().fetch("http://a/"))));
    return [count, answers.map(({ served }) => served).sort()];
  },
  async lazy(loader) {
    let count = 0;
    loader.get("lazy", () => {
      count++;
      return source()();
    });
    const before = count;
    // Asked for by the host, in its own time.
    for (let n = 0; n < 500 && count === 0; n += 1) await scheduler.wait(10);
    return [before, count];
  },
  async shapes(loader) {
    const worker = loader.get("warm", source());
    return [
      String(loader), Object.keys(loader), loader.get.length, String(worker), Object.keys(worker), String(worker.getEntrypoint()),
      JSON.stringify({ loader, worker }),
    ];
  },
  async script(loader) {
    const worker = loader.get("script", () => ({
      compatibilityDate: "2026-01-01",
      mainModule: "main.js",
      modules: { "main.js": "addEventListener('fetch', (event) => event.respondWith(new Response('script')));" },
    }));
    return await (await worker.getEntrypoint().fetch("http://a/")).text();
  },
  async websocket(loader) {
    const echo = `export default { fetch() {
      const [theirs, mine] = Object.values(new WebSocketPair());
      mine.accept();
      mine.addEventListener("message", ({ data }) => mine.send("echo " + data));
      return new Response(null, { status: 101, webSocket: theirs });
    } }`;
    const worker = loader.get("socket", () => ({ compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": echo } }));
    const { webSocket } = await worker.getEntrypoint().fetch("http://a/", { headers: { upgrade: "websocket" } });
    webSocket.accept();
    const heard = new Promise((resolve) => webSocket.addEventListener("message", ({ data }) => resolve(data), { once: true }));
    webSocket.send("hello");
    return await heard;
  },
};

export default {
  async fetch(request, env) {
    return Response.json(await cases[new URL(request.url).pathname.slice(1)](env.LOADER));
  },
};
