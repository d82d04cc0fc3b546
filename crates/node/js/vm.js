// exports: Script, compileFunction, constants, createContext, createScript, isContext, measureMemory, runInContext
// exports: runInNewContext, runInThisContext
//
// node:vm. A worker compiles no text, so scripts cannot run; contexts are objects that were marked as such.

const { validateObject, validateString } = require("internal/validators");
const { unavailable } = require("internal/unavailable");

const contexts = new WeakSet();

class Script {
  createCachedData() {
    return require("buffer").Buffer.alloc(0);
  }
}
for (const name of ["runInThisContext", "runInContext", "runInNewContext"]) {
  Object.defineProperty(Script.prototype, name, { value: unavailable(`Script.${name}`), writable: true, configurable: true });
}

function createContext(object = {}) {
  validateObject(object, "contextObject");
  contexts.add(object);
  return object;
}

function isContext(object) {
  validateObject(object, "object");
  return contexts.has(object);
}

const refuse = unavailable("runInThisContext");

module.exports = {
  Script,
  compileFunction(code) {
    validateString(code, "code");
    return unavailable("compileFunction")();
  },
  constants: {
    USE_MAIN_CONTEXT_DEFAULT_LOADER: Symbol("vm_dynamic_import_main_context_default"),
    DONT_CONTEXTIFY: Symbol("vm_context_no_contextify"),
  },
  createContext,
  createScript: () => new Script(),
  isContext,
  measureMemory: unavailable("measureMemory"),
  runInContext(_code, object) {
    validateObject(object, "object");
    return unavailable("runInContext")();
  },
  runInNewContext: () => refuse(),
  runInThisContext: () => refuse(),
};
