const SHOW = (name) => `import value, * as all from "${name}";
export default { fetch() {
  const kind = Object.prototype.toString.call(value);
  const text = kind === "[object ArrayBuffer]" ? new TextDecoder().decode(value) : kind === "[object Object]" ? JSON.stringify(value) : String(value);
  return new Response([kind, text, Object.keys(all)].join(" "));
} }`;

const cases = {
  "js": ["d.js", "export default 1; export const z = 2;"],
  "{ js }": ["d", { js: "export default 1; export const z = 2;" }],
  "{ cjs }": ["d", { cjs: "exports.a = require('./e').b; exports.kind = typeof module;" }],
  "{ text }": ["d", { text: "hello" }],
  "{ data } buffer": ["d", { data: new TextEncoder().encode("bytes").buffer }],
  "{ data } view": ["d", { data: new TextEncoder().encode("xbytes").subarray(1) }],
  "{ json }": ["d", { json: { a: [1] } }],
  "{ json } text": ["d", { json: "{}" }],
  "{ wasm }": ["d", { wasm: new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]) }],
  "py": ["d.py", "x = 1"],
  "{ py }": ["d", { py: "x = 1" }],
  "no ending": ["d", "export default 1;"],
  "mjs": ["d.mjs", "export default 1;"],
  "ts": ["d.ts", "export default 1;"],
  "none": ["d", {}],
  "unknown": ["d", { nope: "x" }],
  "two": ["d", { text: "a", js: "export default 1" }],
  "null": ["d", null],
  "data as text": ["d", { data: "text" }],
};

async function run(loader, code) {
  const response = await loader.get(null, () => code).getEntrypoint().fetch("http://a/");
  return await response.text();
}

export default {
  async fetch(request, env) {
    const lines = [];
    const one = async (name, code) => {
      try {
        lines.push(`${name}: ${await run(env.LOADER, code)}`);
      } catch (error) {
        lines.push(`${name}: ${error.name}: ${error.message}`);
      }
    };
    for (const [name, [file, content]] of Object.entries(cases)) {
      const modules = { "m.js": SHOW(file), [file]: content, "e": { cjs: "exports.b = 3;" } };
      await one(name, { compatibilityDate: "2026-01-01", mainModule: "m.js", modules });
    }
    const flags = ["nodejs_compat"];
    const node = "import { Buffer } from 'node:buffer'; export default { fetch() { return new Response(Buffer.from('a').toString('hex')); } }";
    await one("node", { compatibilityDate: "2026-01-01", compatibilityFlags: flags, mainModule: "m.js", modules: { "m.js": node } });
    const folders = { "src/m.js": "import a from './lib/a.js'; export default { fetch() { return new Response(a); } }", "src/lib/a.js": "export default 'a in a folder'" };
    await one("folders", { compatibilityDate: "2026-01-01", mainModule: "src/m.js", modules: folders });
    const large = "export default { fetch() { return new Response('large'); } }";
    const sized = (bytes) => ({ compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": large, "t": { text: "x".repeat(bytes - large.length) } } });
    await one("largest", sized(64 * 1024 * 1024));
    await one("too large", sized(64 * 1024 * 1024 + 1));
    const accents = { text: "\u00e9".repeat(32 * 1024 * 1024) };
    await one("too large in bytes", { compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": large, "t": accents } });
    return new Response(lines.join("\n") + "\n");
  },
};
