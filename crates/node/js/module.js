// exports: Module, SourceMap, builtinModules, constants, createRequire, findSourceMap, isBuiltin, syncBuiltinESMExports
// exports: enableCompileCache, findPackageJSON, flushCompileCache, getCompileCacheDir, getSourceMapsSupport, globalPaths, register
// exports: _cache, _debug, _extensions, _findPath, _initPaths, _load, _nodeModulePaths, _pathCache, _preloadModules
// exports: _resolveFilename, _resolveLookupPaths
// exports: registerHooks, runMain, setSourceMapsSupport, stripTypeScriptTypes, wrap
//
// node:module: what a worker can require is what it was deployed with and Node's own modules; the rest throws.

const { codes: { ERR_INVALID_ARG_VALUE, ERR_METHOD_NOT_IMPLEMENTED } } = require("internal/errors");
const builtin = require("internal/builtin");

function Module() {
  throw new ERR_METHOD_NOT_IMPLEMENTED("Module");
}
module.exports = Module;

// Of the bundle's modules, by the name that an absolute path or a file URL gives.
function moduleName(path) {
  const text = path instanceof URL ? path.href : path;
  const complain = () => {
    throw new ERR_INVALID_ARG_VALUE(
      "path",
      path,
      "The argument must be a file URL object, a file URL string, or an absolute path string.",
    );
  };
  if (typeof text !== "string") complain();
  let name;
  if (text.startsWith("/")) name = text;
  else if (URL.canParse(text) && new URL(text).protocol === "file:") name = decodeURIComponent(new URL(text).pathname);
  else complain();
  return name.replace(/^\/+(bundle\/)?/, "");
}

function createRequire(path) {
  const from = moduleName(path);
  // Loaded with the snapshot: the bundle's CommonJS modules.
  const { require: requireFrom } = internal.load("ext:atoll_js/26_module_internal.js");
  function bundled(specifier) {
    return requireFrom(from, specifier);
  }
  return bundled;
}

const notImplemented = (name) => {
  const method = {
    [name]() {
      throw new ERR_METHOD_NOT_IMPLEMENTED(`module.${name}`);
    },
  };
  return method[name];
};

Object.assign(Module, {
  Module,
  SourceMap: class SourceMap {
    constructor() {
      throw new ERR_METHOD_NOT_IMPLEMENTED("SourceMap");
    }
  },
  builtinModules: builtin.names.slice(),
  constants: Object.freeze({
    compileCacheStatus: Object.freeze({ FAILED: 0, ENABLED: 1, ALREADY_ENABLED: 2, DISABLED: 3 }),
  }),
  createRequire,
  findSourceMap: () => undefined,
  isBuiltin: builtin.isBuiltin,
  syncBuiltinESMExports() {},
  // There is no cache on any disk: asked to use one, it says so.
  enableCompileCache: () => ({ status: 3 }),
  flushCompileCache() {},
  getCompileCacheDir: () => undefined,
  getSourceMapsSupport: () => Object.freeze({ __proto__: null, enabled: false, nodeModules: false, generatedCode: false }),
  globalPaths: [],
  wrap: (script) => `(function (exports, require, module, __filename, __dirname) { ${script}\n});`,
});
for (
  const name of ["findPackageJSON", "register", "registerHooks", "runMain", "setSourceMapsSupport", "stripTypeScriptTypes"]
) Module[name] = notImplemented(name);
for (
  const name of [
    "_load",
    "_resolveFilename",
    "_resolveLookupPaths",
    "_findPath",
    "_nodeModulePaths",
    "_initPaths",
    "_preloadModules",
    "_debug",
  ]
) Object.defineProperty(Module, name, { value: notImplemented(name), writable: true, configurable: true });
for (const name of ["_cache", "_extensions", "_pathCache"]) {
  Object.defineProperty(Module, name, { value: { __proto__: null }, writable: true, configurable: true });
}
