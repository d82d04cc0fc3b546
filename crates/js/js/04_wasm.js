// WebAssembly.Memory as the worker's limits have it: one that begins beyond them is refused, and one that may grow further
// grows only so far. V8 holds memories that modules declare to the same bound (src/memory.rs).
(function () {
const { core } = __bootstrap;
const { op_wasm_pages_max } = core.ops;

const { construct } = Reflect;
const { getOwnPropertyDescriptors } = Object;
// A flag may take it off the global scope.
const Weak = WeakRef;

// Before the worker's first line. Under a suite's tests nothing changes.
const limitMemories = (function limitMemories() {
  const pagesMax = op_wasm_pages_max();
  const Real = WebAssembly.Memory;
  // The memories that this constructor made, while they live.
  let made = [];
  const pagesOf = (memory) => memory.buffer.byteLength / 65536;
  const pagesMade = () => {
    made = made.filter((memory) => memory.deref() !== undefined);
    return made.reduce((sum, memory) => sum + pagesOf(memory.deref()), 0);
  };
  const { prototype } = Real;
  function Memory(descriptor) {
    if (new.target === undefined) return Real(descriptor);
    const target = new.target === Memory ? Limited : new.target;
    if (descriptor === null || typeof descriptor !== "object") return construct(Real, arguments, target);
    const { initial, maximum, minimum, shared, address } = descriptor;
    if (address !== undefined) return construct(Real, arguments, target);
    const limited = { initial, maximum, minimum, shared };
    for (const name of Object.keys(limited)) if (limited[name] === undefined) delete limited[name];
    // What is no number is the constructor's to refuse.
    if (typeof maximum === "number" && maximum > pagesMax && maximum <= 65536) limited.maximum = pagesMax;
    const first = Number(initial ?? minimum);
    const all = first <= 65536 ? first + pagesMade() : first;
    if (all > pagesMax && first <= 65536) {
      throw new RangeError(
        `WebAssembly.Memory(): could not allocate memory: ${all} pages are more than ${pagesMax} (limit wasm_bytes = ${pagesMax * 65536})`,
      );
    }
    const memory = construct(Real, [limited], target);
    made.push(new Weak(memory));
    return memory;
  }
  const Limited = Memory.bind(undefined);
  const { name, length } = getOwnPropertyDescriptors(Real);
  Object.defineProperty(Memory, "prototype", { value: prototype, writable: false });
  Object.defineProperties(Limited, { name, length, prototype: { value: prototype, writable: false, enumerable: false, configurable: false } });
  Object.defineProperty(prototype, "constructor", { value: Limited, writable: true, enumerable: false, configurable: true });
  Object.defineProperty(WebAssembly, "Memory", { value: Limited, writable: true, enumerable: false, configurable: true });
});

return { limitMemories };
})();
