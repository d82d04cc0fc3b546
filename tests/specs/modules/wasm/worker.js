import module from "./add.wasm";
const { exports } = await WebAssembly.instantiate(module);
export default {
  async fetch() {
    const again = await WebAssembly.instantiate(module);
    return Response.json([exports.add(2, 3), module instanceof WebAssembly.Module, again.exports.add(4, 5)]);
  },
};
