// assert.CallTracker: counts calls of functions and tells whether they are what was expected.

const { AssertionError } = require("internal/assertion_error");
const { codes: { ERR_INVALID_ARG_VALUE, ERR_UNAVAILABLE_DURING_EXIT } } = require("internal/errors");
const { validateUint32 } = require("internal/validators");

class Tracked {
  calls = [];

  constructor(callback, exact, stack) {
    this.callback = callback;
    this.exact = exact;
    this.stack = stack;
  }

  report() {
    if (this.calls.length === this.exact) return null;
    const name = this.callback.name || "calls";
    return {
      message: `Expected the ${name} function to be executed ${this.exact} time(s) but was executed ${this.calls.length} time(s).`,
      actual: this.calls.length,
      expected: this.exact,
      operator: name,
      stack: this.stack,
    };
  }
}

function noop() {}

class CallTracker {
  #all = new Set();
  #byFunction = new WeakMap();

  #of(tracked) {
    const found = this.#byFunction.get(tracked);
    if (found === undefined) throw new ERR_INVALID_ARG_VALUE("tracked", tracked, "is not a tracked function");
    return found;
  }

  reset(tracked) {
    if (tracked === undefined) for (const each of this.#all) each.calls = [];
    else this.#of(tracked).calls = [];
  }

  getCalls(tracked) {
    return Object.freeze([...this.#of(tracked).calls]);
  }

  calls(callback, exact = 1) {
    if (globalThis.process?._exiting) throw new ERR_UNAVAILABLE_DURING_EXIT();
    if (typeof callback === "number") {
      exact = callback;
      callback = noop;
    } else if (callback === undefined) callback = noop;
    validateUint32(exact, "expected", true);
    const tracked = new Tracked(callback, exact, new Error());
    this.#all.add(tracked);
    const proxy = new Proxy(callback, {
      apply(target, thisArg, args) {
        tracked.calls.push(Object.freeze({ thisArg, arguments: Object.freeze([...args]) }));
        return Reflect.apply(target, thisArg, args);
      },
    });
    this.#byFunction.set(proxy, tracked);
    return proxy;
  }

  report() {
    return [...this.#all].map((each) => each.report()).filter((each) => each !== null);
  }

  verify() {
    const details = this.report();
    if (details.length === 0) return;
    const message = details.length === 1
      ? details[0].message
      : "Functions were not called the expected number of times";
    throw new AssertionError({ message, details });
  }
}

module.exports = { CallTracker };
