// process, where the engine has none.
"use strict";

const EventEmitter = require("events");

const process = new EventEmitter();
Object.defineProperty(process, Symbol.toStringTag, { value: "process", configurable: true });

module.exports = Object.assign(process, {
  arch: "x64",
  argv: [],
  config: { variables: {}, target_defaults: {} },
  cwd: () => "/node",
  emitWarning(warning, type, code, _ctor) {
    let detail;
    if (typeof type === "object" && type !== null) ({ type, code, detail } = type);
    if (typeof warning === "string") {
      warning = new Error(warning);
      warning.name = type ?? "Warning";
      if (code !== undefined) warning.code = code;
      if (detail !== undefined) warning.detail = detail;
    }
    if (warning.name === "DeprecationWarning" && process.noDeprecation) return;
    process.nextTick(() => process.emit("warning", warning));
  },
  env: {},
  execArgv: [],
  execPath: "/node/bin/node",
  features: { inspector: false },
  nextTick: (callback, ...args) => queueMicrotask(() => callback(...args)),
  pid: 1,
  platform: "linux",
  release: { name: "node" },
  stderr: { isTTY: false, write: () => true },
  stdout: { isTTY: false, write: () => true },
  umask: () => 0o022,
  version: "v20.19.2",
  versions: { node: "20.19.2", openssl: "3.0.16", v8: "11.3", icu: "76.1", unicode: "16.0" },
});
