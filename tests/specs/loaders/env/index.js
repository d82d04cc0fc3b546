import { WorkerEntrypoint } from "cloudflare:workers";

export class Greeter extends WorkerEntrypoint {
  hi(name) { return `hi ${name} ${JSON.stringify(this.ctx.props)}`; }
  fetch(request) { return new Response(`fetched ${new URL(request.url).pathname}`); }
  take(value) { return typeof value; }
}

const code = `import { env as atTop, WorkerEntrypoint } from "cloudflare:workers";
const early = atTop.text;
export default { async fetch(request, env) {
  const { date, map, set, bytes, big, error, headers, nothing, greeter, deep } = env;
  return Response.json([
    early, Object.keys(env), date instanceof Date, map instanceof Map && map.get(1), set instanceof Set, bytes instanceof Uint8Array && bytes.length,
    String(big), error instanceof TypeError && error.message, headers instanceof Headers && headers.get("a"), nothing === undefined,
    await greeter.hi("you"), await deep.list[0].hi("there"), await (await greeter.fetch("http://a/path")).text(), Object.isFrozen(env),
  ]);
} }`;

export default {
  async fetch(request, env, ctx) {
    const greeter = ctx.exports.Greeter({ props: { from: "parent" } });
    const values = {
      text: "t", date: new Date(0), map: new Map([[1, 2]]), set: new Set(), bytes: new Uint8Array(3), big: 5n, error: new TypeError("kept"),
      headers: new Headers({ a: "b" }), nothing: undefined, greeter, deep: { list: [env.GREETER] },
    };
    const made = { compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": code }, env: values };
    const worker = env.LOADER.get("env", () => made);
    if (new URL(request.url).pathname === "/give-away") {
      try {
        return new Response(await env.GREETER.take(worker.getEntrypoint()));
      } catch (error) {
        return new Response(`${error.name}: ${error.message}`);
      }
    }
    return await worker.getEntrypoint().fetch("http://a/");
  },
};
