// require('../common/countdown')
"use strict";

const assert = require("assert");
const { mustCall } = require("node/test/common");

module.exports = class Countdown {
  #left;
  #done;

  constructor(limit, done) {
    assert.strictEqual(typeof limit, "number");
    this.#left = limit;
    this.#done = mustCall(done);
  }

  dec() {
    assert(this.#left > 0, "Countdown expired");
    this.#left--;
    if (this.#left === 0) this.#done();
    return this.#left;
  }

  get remaining() {
    return this.#left;
  }
};
