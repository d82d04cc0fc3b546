import { name } from "./chunks/chunk-abc.js";
import text from "./note.txt";
import module from "./add.wasm";
import { env } from "cloudflare:workers";
export default {
  async fetch() {
    const { deep } = await import("./chunks/deep/deep.mjs");
    const { exports } = await WebAssembly.instantiate(module);
    return Response.json([name, deep, text, exports.add(3, 4), typeof env === "object"]);
  },
};
