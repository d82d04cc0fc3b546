// exports: REPLServer, REPL_MODE_SLOPPY, REPL_MODE_STRICT, Recoverable, _builtinLibs, builtinModules, start, writer
//
// node:repl: its names. A worker compiles no text.

const { names } = require("internal/builtin");
const { Interface } = require("readline");
const { unavailable, unavailableClass } = require("internal/unavailable");

const METHODS = ["setupHistory", "defineCommand", "displayPrompt", "clearBufferedCommand"];
const builtin = names.filter((name) => !name.startsWith("_"));

class Recoverable extends SyntaxError {
  constructor(error) {
    super();
    this.err = error;
  }
}

module.exports = {
  REPLServer: unavailableClass("REPLServer", "REPLServer", Interface, METHODS),
  REPL_MODE_SLOPPY: Symbol("repl-sloppy"),
  REPL_MODE_STRICT: Symbol("repl-strict"),
  Recoverable,
  _builtinLibs: builtin,
  builtinModules: builtin,
  start: unavailable("start"),
  writer: unavailable("writer"),
};
