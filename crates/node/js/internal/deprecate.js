// util.deprecate: a function that warns the first time it is called.

const { emitWarning } = require("internal/host_process");
const { validateString } = require("internal/validators");

// Codes that were warned of: once per isolate.
const warned = new Set();

function deprecate(fn, message, code) {
  if (code !== undefined) validateString(code, "code");
  let done = false;
  function deprecated(...args) {
    // process.noDeprecation is what --no-deprecation sets.
    if (!done && globalThis.process?.noDeprecation !== true) {
      done = true;
      if (code === undefined) emitWarning(message, "DeprecationWarning", undefined, deprecated);
      else if (!warned.has(code)) {
        warned.add(code);
        emitWarning(message, "DeprecationWarning", code, deprecated);
      }
    }
    return new.target ? Reflect.construct(fn, args, new.target) : Reflect.apply(fn, this, args);
  }
  // A class keeps its static members and its name.
  Object.setPrototypeOf(deprecated, fn);
  if (fn.prototype) deprecated.prototype = fn.prototype;
  Object.defineProperty(deprecated, "length", { ...Object.getOwnPropertyDescriptor(fn, "length") });
  return deprecated;
}

module.exports = { deprecate };
