// ArrayBuffer as the worker's limits have it. Buffers of a fixed length come from an allocator that counts (src/memory.rs);
// resizable ones do not, and V8 would let one have 4 GiB at once. So none may become larger than all buffers together.
(function () {
const { core } = __bootstrap;
const { op_buffer_reserve } = core.ops;

const { construct } = Reflect;
const { defineProperty, getOwnPropertyDescriptor } = Object;
const toNumber = Number;

// When an isolate is made. Under a suite's tests nothing changes.
const limitBuffers = (function limitBuffers() {
  const Real = ArrayBuffer;
  function Limited(length, options) {
    if (new.target === undefined) return Real(length);
    const target = new.target === Limited ? Bound : new.target;
    if (options === null || (typeof options !== "object" && typeof options !== "function")) return construct(Real, [length], target);
    let { maxByteLength } = options;
    if (maxByteLength === undefined) return construct(Real, [length], target);
    maxByteLength = toNumber(maxByteLength);
    op_buffer_reserve(maxByteLength);
    return construct(Real, [length, { __proto__: null, maxByteLength }], target);
  }
  const Bound = Limited.bind(undefined);
  for (const key of Reflect.ownKeys(Real)) defineProperty(Bound, key, getOwnPropertyDescriptor(Real, key));
  defineProperty(Limited, "prototype", { value: Real.prototype, writable: false });
  defineProperty(Real.prototype, "constructor", { value: Bound, writable: true, enumerable: false, configurable: true });
  defineProperty(globalThis, "ArrayBuffer", { value: Bound, writable: true, enumerable: false, configurable: true });
});

return { limitBuffers };
})();
