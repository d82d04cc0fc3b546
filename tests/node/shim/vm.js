// require('vm') of the tests. A worker has one realm, so what runs "in a new context" runs in this one: what such a test
// says about values of another realm is not tested.
"use strict";

const run = (code) => (0, eval)(code);

class Script {
  #code;

  constructor(code) {
    this.#code = code;
  }

  runInContext() {
    return run(this.#code);
  }

  runInNewContext() {
    return run(this.#code);
  }

  runInThisContext() {
    return run(this.#code);
  }
}

module.exports = {
  createContext: (object = {}) => object,
  isContext: () => false,
  runInContext: run,
  runInNewContext: run,
  runInThisContext: run,
  Script,
};
