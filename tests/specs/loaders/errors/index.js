import { env as globalEnv, RpcTarget } from "cloudflare:workers";

const HELLO = "export default { fetch() { return new Response('hello'); } }";
const ok = (code, more = {}) => ({ compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": code }, ...more });

let atStart;
try {
  globalEnv.LOADER.get("early", () => ok(HELLO));
} catch (error) {
  atStart = error;
}

const cases = {
  "no callback": (loader) => loader.get("a"),
  "callback is no function": (loader) => loader.get("a", {}),
  "wrong this": (loader) => loader.get.call({}, "a", () => 1),
  "at global scope": () => { throw atStart; },
  "callback throws": (loader) => ask(loader, () => { throw new TypeError("from the callback"); }),
  "callback rejects": (loader) => ask(loader, async () => { throw new RangeError("later"); }),
  "callback gives a number": (loader) => ask(loader, () => 5),
  "load of nothing": (loader) => loader.load(),
  "load of an empty object": (loader) => loader.load({}),
  "load checks at once": (loader) => loader.load(ok(HELLO, { compatibilityDate: "x" })),
  "no modules": (loader) => ask(loader, () => ok(HELLO, { modules: undefined })),
  "empty modules": (loader) => ask(loader, () => ok(HELLO, { modules: {} })),
  "no date": (loader) => ask(loader, () => ok(HELLO, { compatibilityDate: undefined })),
  "bad date": (loader) => ask(loader, () => ok(HELLO, { compatibilityDate: "2026-1-1" })),
  "unknown flag": (loader) => ask(loader, () => ok(HELLO, { compatibilityFlags: ["nope"] })),
  "flags are no list": (loader) => ask(loader, () => ok(HELLO, { compatibilityFlags: "nope" })),
  "no main module": (loader) => ask(loader, () => ok(HELLO, { mainModule: "other.js" })),
  "main module is text": (loader) => ask(loader, () => ok(HELLO, { mainModule: "t", modules: { t: { text: "x" } } })),
  "syntax error": (loader) => ask(loader, () => ok("export default { a b };")),
  "throws at start": (loader) => ask(loader, () => ok("throw new RangeError('top');")),
  "throws deep": (loader) => ask(loader, () => ok("\n\nfunction a() { throw new RangeError('deep') }\nfunction b() { a() }\nb()")),
  "export of a number": (loader) => ask(loader, () => ok("export const a = 1;")),
  "call of one that throws at start": (loader) => loader.get("x1", () => ok("throw new RangeError('top');")).getEntrypoint().foo(),
  "no handler": (loader) => ask(loader, () => ok("export default {};")),
  "no entrypoint": (loader) => loader.get("x2", () => ok(HELLO)).getEntrypoint("Nope").add(1),
  "no entrypoint to fetch": (loader) => loader.get("x2", () => ok(HELLO)).getEntrypoint("Nope").fetch("http://a/"),
  "handler throws": (loader) => ask(loader, () => ok("export default { fetch() { throw new RangeError('inside'); } }")),
  "env with a function": (loader) => ask(loader, () => ok(HELLO, { env: { f: () => 1 } })),
  "env with a class instance": (loader) => ask(loader, () => ok(HELLO, { env: { a: new (class Own {})() } })),
  "env with an RpcTarget": (loader) => ask(loader, () => ok(HELLO, { env: { a: new (class Own extends RpcTarget {})() } })),
  "env with a stream": (loader) => ask(loader, () => ok(HELLO, { env: { a: new ReadableStream() } })),
  "env with a loader": (loader) => ask(loader, () => ok(HELLO, { env: { a: loader } })),
  "env with a dynamic worker": (loader) => ask(loader, () => ok(HELLO, { env: { a: loader.get("x2", () => ok(HELLO)).getEntrypoint() } })),
  "env is a number": (loader) => ask(loader, () => ok(HELLO, { env: 5 })),
  "outbound is no service": (loader) => ask(loader, () => ok(HELLO, { globalOutbound: {} })),
  "tails are no list": (loader) => ask(loader, () => ok(HELLO, { tails: 5 })),
  "a tail is no service": (loader) => ask(loader, () => ok(HELLO, { tails: [{}] })),
  "limits are a number": (loader) => ask(loader, () => ok(HELLO, { limits: 5 })),
  "limit is negative": (loader) => ask(loader, () => ok(HELLO, { limits: { cpuMs: -1 } })),
  "limit is text": (loader) => ask(loader, () => ok(HELLO, { limits: { subRequests: "x" } })),
  "props are a number": (loader) => loader.get("x2", () => ok(HELLO)).getEntrypoint(null, { props: 5 }),
  "options are a number": (loader) => loader.get("x2", () => ok(HELLO)).getEntrypoint(null, 5),
  "no cache": (loader) => ask(loader, () => ok("export default { async fetch() { return Response.json(await caches.default.match('http://a/')); } }")),
  "no eval": (loader) => ask(loader, () => ok("export default { fetch() { return new Response(eval('1')); } }")),
};

async function ask(loader, callback) {
  const response = await loader.get(null, callback).getEntrypoint().fetch("http://a/");
  return await response.text();
}

export default {
  async fetch(request, env) {
    const lines = [];
    for (const [name, run] of Object.entries(cases)) {
      try {
        lines.push(`${name}: ${await run(env.LOADER)}`);
      } catch (error) {
        lines.push(`${name}: ${error.name}: ${error.message.replaceAll("\n", " | ")}`);
      }
    }
    return new Response(lines.join("\n") + "\n");
  },
};
