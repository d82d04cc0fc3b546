// exports: WASI
//
// node:wasi: its name.
const { unavailableClass } = require("internal/unavailable");

const METHODS = ["finalizeBindings", "start", "initialize", "getImportObject"];

module.exports = { WASI: unavailableClass("WASI", "WASI", Object, METHODS) };
