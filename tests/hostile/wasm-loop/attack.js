import module from "./loop.wasm";
export default function attack() {
  new WebAssembly.Instance(module).exports.loop();
}
