// require('node:test'), as far as the selected tests use it: suites, tests, hooks, subtests, mock functions.
"use strict";

const harness = require("harness");
const assert = require("assert");

let suite = { before: [], beforeEach: [], afterEach: [], after: [], parent: null };
let queue = Promise.resolve();

function parse(name, options, body) {
  if (typeof name === "function") return ["", {}, name];
  if (typeof options === "function") return [name, {}, options];
  return [name, options ?? {}, body];
}

function hooks(from, kind) {
  const outer = from.parent === null ? [] : hooks(from.parent, kind);
  return kind === "afterEach" ? [...from[kind], ...outer] : [...outer, ...from[kind]];
}

async function call(body, context) {
  if (body.length < 2) return await body(context);
  return await new Promise((resolve, reject) => body(context, (error) => error ? reject(error) : resolve()));
}

async function runTest(name, options, body, owner) {
  if (options.skip || options.todo || body === undefined) return;
  const context = new TestContext(name);
  try {
    for (const hook of hooks(owner, "beforeEach")) await call(hook, context);
    await call(body, context);
    for (const sub of context.pending) await sub;
    for (const hook of [...context.afters, ...hooks(owner, "afterEach")]) await call(hook, context);
  } catch (error) {
    if (!context.skipped) harness.fail(annotate(name, error));
  }
}

function annotate(name, error) {
  const wrapped = new Error(`test "${name}": ${error?.message}`);
  wrapped.stack = `test "${name}": ${error?.stack ?? error}`;
  return wrapped;
}

class TestContext {
  constructor(name) {
    this.name = name;
    this.pending = [];
    this.afters = [];
    this.skipped = false;
    this.assert = assert;
    this.mock = mock;
    this.signal = new AbortController().signal;
  }
  test(...args) {
    const [name, options, body] = parse(...args);
    const run = runTest(name, options, body, { before: [], beforeEach: [], afterEach: [], after: [], parent: null });
    this.pending.push(run);
    return run;
  }
  after(hook) {
    this.afters.push(hook);
  }
  diagnostic() {}
  skip() {
    this.skipped = true;
  }
  todo() {
    this.skipped = true;
  }
  plan() {}
}

function test(...args) {
  const [name, options, body] = parse(...args);
  const owner = suite;
  const run = queue.then(() => runTest(name, options, body, owner));
  queue = run;
  return run;
}

function describe(...args) {
  const [name, options, body] = parse(...args);
  if (options.skip || body === undefined) return Promise.resolve();
  const inner = { before: [], beforeEach: [], afterEach: [], after: [], parent: suite };
  const outer = suite;
  // Its before hooks are known only once its body ran.
  queue = queue.then(async () => {
    for (const hook of inner.before) await hook();
  }).catch((error) => harness.fail(annotate(name, error)));
  suite = inner;
  try {
    const result = body();
    if (typeof result?.then === "function") queue = queue.then(() => result);
  } finally {
    suite = outer;
  }
  queue = queue.then(async () => {
    for (const hook of inner.after) await hook();
  }).catch((error) => harness.fail(annotate(name, error)));
  return queue;
}

const mock = {
  fn(original = () => {}, implementation = original) {
    const calls = [];
    const mocked = function (...args) {
      const call = { arguments: args, this: this, result: undefined, error: undefined };
      calls.push(call);
      try {
        return call.result = Reflect.apply(implementation, this, args);
      } catch (error) {
        call.error = error;
        throw error;
      }
    };
    mocked.mock = { calls, callCount: () => calls.length, resetCalls: () => calls.length = 0, restore() {} };
    return mocked;
  },
  method(object, name, implementation = object[name]) {
    const original = object[name];
    const mocked = mock.fn(original, implementation);
    mocked.mock.restore = () => object[name] = original;
    object[name] = mocked;
    return mocked;
  },
};

const hook = (kind) => (callback) => suite[kind].push(callback);
const skippable = (callable) =>
  Object.assign(callable, { skip: () => Promise.resolve(), todo: () => Promise.resolve(), only: callable });

module.exports = skippable(test);
Object.assign(module.exports, {
  after: hook("after"),
  afterEach: hook("afterEach"),
  before: hook("before"),
  beforeEach: hook("beforeEach"),
  describe: skippable(describe),
  it: skippable(test),
  mock,
  suite: describe,
  test: module.exports,
});
