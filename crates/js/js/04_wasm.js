// WebAssembly as the worker's limits have it: memories are held in sum (src/wasm.rs). The constructors' stand-ins bring every
// memory that is made to be counted, and refuse what would be too much. What is taken from V8 is taken before the worker's
// first line, and what a worker could have changed since is not used.
(function () {
const { core } = __bootstrap;
const {
  op_wasm_begin, op_wasm_enter, op_wasm_facts, op_wasm_grow, op_wasm_keep, op_wasm_keep_hidden, op_wasm_leave, op_wasm_room,
} = core.ops;

const { apply, construct } = Reflect;
const { defineProperty, getOwnPropertyDescriptor } = Object;
const toNumber = Number;
// What a memory counts at least, as src/wasm.rs has it.
const PAGES_LEAST = 4;
// The most pages that a 32-bit memory can be asked for.
const PAGES = 65536;

// Facts of a module, on the module itself, where no worker sees them.
class Known extends (function (module) { return module; }) {
  #facts;
  constructor(module, facts) {
    super(module);
    this.#facts = facts;
  }
  static of(module) {
    return #facts in module ? module.#facts : null;
  }
}
const { of: factsKnown } = Known;

// `name` of WebAssembly is from now on `stand`, a function that looks like the one whose place it takes. Bound functions have
// no source to show and no prototype of their own.
const replace = (function replace(holder, name, stand) {
  const real = holder[name];
  const bound = stand.bind(undefined);
  for (const key of ["name", "length"]) defineProperty(bound, key, getOwnPropertyDescriptor(real, key));
  const prototype = getOwnPropertyDescriptor(real, "prototype");
  if (prototype !== undefined) {
    // For `new` without a class of the worker's own.
    defineProperty(stand, "prototype", { value: real.prototype, writable: false });
    defineProperty(bound, "prototype", prototype);
    defineProperty(real.prototype, "constructor", { value: bound, writable: true, enumerable: false, configurable: true });
  }
  defineProperty(holder, name, { ...getOwnPropertyDescriptor(holder, name), value: bound });
  return bound;
});

// When an isolate is made. Under a suite's tests nothing changes. Memories that threads share are not made at all: they are the
// way to a class that is not there (91_dispatch.js).
const limitMemories = (function limitMemories() {
  const { Instance, Memory, Module } = WebAssembly;
  const { exports: exportsOf } = Module;
  const { get: exportsGetter } = getOwnPropertyDescriptor(Instance.prototype, "exports");
  const { get: bufferGetter } = getOwnPropertyDescriptor(Memory.prototype, "buffer");
  const { grow } = Memory.prototype;
  const { instantiate } = WebAssembly;
  // Nobody's isolate has no limits yet.
  let pagesMax = 0;
  const begin = () => {
    if (pagesMax === 0) pagesMax = op_wasm_begin(bufferGetter);
  };

  // What is known of a module; null for what is none.
  function factsOf(module) {
    if (typeof module !== "object" || module === null) return null;
    begin();
    const known = factsKnown(module);
    if (known !== null) return known;
    const facts = op_wasm_facts(module);
    if (facts === null) return null;
    const count = facts[0];
    const min = facts[1];
    const max = facts[2];
    const escapes = facts[3];
    const names = [];
    if (count !== 0) {
      const exported = exportsOf(module);
      for (let i = 0; i < exported.length; i++) {
        if (exported[i].kind === "memory") defineProperty(names, names.length, { value: exported[i].name });
      }
    }
    const made = { __proto__: null, count, min, max, escapes: escapes !== 0, shared: facts[4] !== 0, names };
    new Known(module, made);
    return made;
  }

  function make(args, target) {
    const facts = factsOf(args[0]);
    if (facts === null || facts.count === 0) return construct(Instance, args, target);
    const { count, min, max, escapes, shared, names } = facts;
    if (shared) throw new TypeError(NO_SHARING);
    op_wasm_room(names.length < count ? max : min);
    // What its start function makes finds it at its largest.
    op_wasm_enter(max);
    let whole = false;
    let instance;
    try {
      instance = construct(Instance, args, target);
      whole = true;
    } finally {
      // Half an instance that something may hold counts for good.
      if (whole || !escapes) op_wasm_leave(max);
    }
    const exported = apply(exportsGetter, instance, []);
    let hidden = count;
    for (let i = 0; i < names.length; i++) if (op_wasm_keep(exported[names[i]])) hidden--;
    if (hidden > 0) op_wasm_keep_hidden(instance, max);
    op_wasm_room(0);
    return instance;
  }

  function LimitedInstance(module) {
    if (new.target === undefined) return Instance(module);
    return make(arguments, new.target === LimitedInstance ? TheInstance : new.target);
  }

  async function limitedInstantiate(source) {
    // Bytes are not compiled, and not refused here.
    if (factsOf(source) === null) return apply(instantiate, undefined, arguments);
    return make(arguments, TheInstance);
  }

  function LimitedMemory(descriptor) {
    if (new.target === undefined) return Memory(descriptor);
    begin();
    const target = new.target === LimitedMemory ? TheMemory : new.target;
    let plain = descriptor;
    if (descriptor !== null && (typeof descriptor === "object" || typeof descriptor === "function")) {
      const { address } = descriptor;
      plain = { __proto__: null };
      // Each is looked at once, in their order, and turned into a number once.
      for (let i = 0; i < FIELDS.length; i++) {
        const field = FIELDS[i];
        let value = field === "address" ? address : descriptor[field];
        if (value === undefined) continue;
        if (field === "shared" && value) throw new TypeError(NO_SHARING);
        if (field === "maximum" || field === "initial" || field === "minimum") {
          if (typeof value === "object" || typeof value === "function") value = address === undefined ? toNumber(value) : value;
          // Further than this it cannot grow; what is no number of pages is the constructor's to refuse.
          if (field === "maximum" && value > pagesMax && value <= PAGES) {
            value = typeof value === "bigint" ? BIG(pagesMax) : pagesMax;
          } else if (field !== "maximum" && value <= PAGES) op_wasm_room(value < PAGES_LEAST ? PAGES_LEAST : toNumber(value));
        }
        plain[field] = value;
      }
    }
    const memory = construct(Memory, [plain], target);
    op_wasm_keep(memory);
    op_wasm_room(0);
    return memory;
  }

  function limitedGrow(delta) {
    begin();
    const pages = typeof delta === "object" || typeof delta === "function" ? toNumber(delta) : delta;
    if (pages <= PAGES) {
      // Throws for what is no memory.
      apply(bufferGetter, this, []);
      op_wasm_grow(this, toNumber(pages));
    }
    return arguments.length === 0 ? apply(grow, this, []) : apply(grow, this, [pages]);
  }

  const TheInstance = replace(WebAssembly, "Instance", LimitedInstance);
  const TheMemory = replace(WebAssembly, "Memory", LimitedMemory);
  replace(WebAssembly, "instantiate", limitedInstantiate);
  const own = { grow(delta) { return apply(limitedGrow, this, arguments); } };
  defineProperty(Memory.prototype, "grow", { ...getOwnPropertyDescriptor(Memory.prototype, "grow"), value: own.grow });
});

const NO_SHARING = "WebAssembly: a memory cannot be shared: a worker has no threads to share it with.";
const FIELDS = ["initial", "maximum", "minimum", "shared", "address"];
const BIG = BigInt;

return { limitMemories };
})();
