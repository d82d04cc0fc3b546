// The interface of node:readline and node:readline/promises: a worker has no terminal, so no line ever arrives.

const EventEmitter = require("events");

// Editing of a terminal's line needs a terminal.
class Interface extends EventEmitter {
  terminal = false;
  line = "";
  cursor = 0;
  #prompt = "> ";

  getPrompt() {
    return this.#prompt;
  }

  setPrompt(prompt) {
    this.#prompt = `${prompt}`;
  }

  prompt() {}

  question() {}

  pause() {
    return this;
  }

  resume() {
    return this;
  }

  close() {
    this.emit("close");
  }

  write() {}

  getCursorPos() {
    return { rows: 0, cols: 0 };
  }

  async *[Symbol.asyncIterator]() {}

  [Symbol.dispose]() {
    this.close();
  }
}

module.exports = { Interface, createInterface: () => new Interface() };
