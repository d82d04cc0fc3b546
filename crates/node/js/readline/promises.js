// exports: Interface, Readline, createInterface
//
// node:readline/promises.

const { Interface, createInterface } = require("internal/readline");

class Readline {
  clearLine() {
    return this;
  }

  clearScreenDown() {
    return this;
  }

  async commit() {}

  cursorTo() {
    return this;
  }

  moveCursor() {
    return this;
  }

  rollback() {
    return this;
  }
}

module.exports = { Interface, Readline, createInterface };
