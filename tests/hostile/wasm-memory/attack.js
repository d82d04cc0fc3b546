import module from "./memory.wasm";
export default function attack() {
  const all = [];
  for (;;) {
    const { memory } = new WebAssembly.Instance(module).exports;
    try {
      for (;;) memory.grow(64);
    } catch {
      new Uint8Array(memory.buffer).fill(1);
      all.push(memory);
    }
  }
}
