import module from "./add.wasm";
const { exports } = await WebAssembly.instantiate(module);
export default {
  async fetch() {
    const empty = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
    const refused = await WebAssembly.compile(empty).then(() => "nothing", (error) => error.name);
    return Response.json([exports.add(2, 3), module instanceof WebAssembly.Module, refused]);
  },
};
