const SPIN = "export default { fetch() { for (;;); } }";
const COUNT = "let n = 0; export default { fetch() { return new Response(String(++n)); } }";
const ok = (code, more = {}) => ({ compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": code }, ...more });
let asked = 0;

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/cpu") {
      try {
        await env.LOADER.load(ok(SPIN, { limits: { cpuMs: 50 } })).getEntrypoint().fetch("http://a/");
        return new Response("it ended");
      } catch (error) {
        return new Response(`${error.name}: ${error.message}`);
      }
    }
    const get = (id) => env.LOADER.get(id, () => {
      asked++;
      return ok(COUNT);
    });
    const served = async (id) => Number(await (await get(id).getEntrypoint().fetch("http://a/")).text());
    if (pathname === "/evict") {
      const held = get("first").getEntrypoint();
      const numbers = [Number(await (await held.fetch("http://a/")).text()), await served("first")];
      // More than a worker keeps.
      for (let i = 0; i < 50; i++) await served(`other ${i}`);
      numbers.push(asked, Number(await (await held.fetch("http://a/")).text()));
      numbers.push(await served("first"), asked);
      return Response.json(numbers);
    }
    return new Response(null, { status: 404 });
  },
};
