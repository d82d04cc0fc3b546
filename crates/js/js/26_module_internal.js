// What the facades of modules that are not ECMAScript import (src/modules.rs): only a facade can import this.
(function () {
const { core } = __bootstrap;
const { nodeModule } = core.loadExtScript("ext:atoll_js/27_node.js");
const { op_cjs_resolve, op_module_bytes, op_module_text, op_wasm_allow, op_wasm_bytes } = core.ops;
// WebAssembly is not there yet when the startup snapshot is made.
let Module;

// module name -> its module object, for CommonJS.
const commonJs = new Map();

function text(name) {
  return op_module_text(name);
}

function data(name) {
  return op_module_bytes(name).buffer;
}

function wasm(name) {
  const bytes = op_wasm_bytes(name);
  Module ??= WebAssembly.Module;
  // A worker compiles nothing but the modules that it was deployed with.
  const before = op_wasm_allow(true);
  try {
    return new Module(bytes);
  } finally {
    op_wasm_allow(before);
  }
}

function json(name) {
  try {
    return JSON.parse(op_module_text(name));
  } catch (error) {
    throw new SyntaxError(`${name}: ${error.message}`);
  }
}

function cjs(name) {
  const loaded = commonJs.get(name);
  if (loaded !== undefined) return loaded.exports;
  const module = { exports: {}, id: name, filename: name, loaded: false };
  commonJs.set(name, module);
  const [compiled, error] = core.compileFunction(op_module_text(name), `file:///${name}`, [], ["exports", "require", "module", "__filename", "__dirname"]);
  if (error !== null) throw error.thrown;
  const slash = name.lastIndexOf("/");
  compiled.call(module.exports, module.exports, (specifier) => require(name, specifier), module, name, slash < 0 ? "." : name.slice(0, slash));
  module.loaded = true;
  return module.exports;
}

function require(from, specifier) {
  // [kind, name]
  const [kind, name] = op_cjs_resolve(from, `${specifier}`);
  switch (kind) {
    case "node":
      return nodeModule(name);
    case "commonjs":
      return cjs(name);
    case "text":
      return text(name);
    case "data":
      return data(name);
    case "wasm":
      return wasm(name);
    case "json":
      return json(name);
    default:
      throw new Error(`${from}: cannot require "${specifier}": ${name} is an ECMAScript module; import it`);
  }
}

// A facade takes what it needs; require is node:module's.
return { cjs, data, json, node: nodeModule, require, text, wasm };
})();
