// exports: Interface, clearLine, clearScreenDown, createInterface, cursorTo, emitKeypressEvents, moveCursor, promises
//
// node:readline. A worker has no terminal: nothing is read, nothing moves.

const { Interface, createInterface } = require("internal/readline");

const no = (name) => ({ [name]: () => false })[name];

module.exports = {
  Interface,
  clearLine: no("clearLine"),
  clearScreenDown: no("clearScreenDown"),
  createInterface,
  cursorTo: no("cursorTo"),
  emitKeypressEvents() {},
  moveCursor: no("moveCursor"),
  promises: require("readline/promises"),
};
