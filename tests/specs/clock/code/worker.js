import seven from "./seven.wasm";

const startup = [eval("1 + 1"), new Function("return 3")()];
const thrown = async (work) => {
  try {
    return String(await work());
  } catch (error) {
    return String(error);
  }
};

export default {
  async fetch() {
    const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
    const instance = await WebAssembly.instantiate(seven);
    return Response.json({
      eval: [await thrown(() => eval("1")), await thrown(() => new Function("return 1")), await thrown(() => (async () => {}).constructor("return 1"))],
      startup,
      wasm: [
        await thrown(() => new WebAssembly.Module(bytes)), await thrown(() => WebAssembly.compile(bytes)), await thrown(() => WebAssembly.instantiate(bytes)),
        WebAssembly.validate(bytes), typeof WebAssembly.compileStreaming, typeof WebAssembly.instantiateStreaming,
      ],
      imported: [instance.exports.f(), String(new WebAssembly.Instance(seven))],
      shared: [
        typeof SharedArrayBuffer, (await thrown(() => new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }))).split(":")[0],
        (await thrown(() => Atomics.wait(new Int32Array(4), 0, 0, 10))).split(":")[0],
      ],
    });
  },
};
