// Timeout and Immediate objects over the engine's timers and check phase.
//
// ref() and unref() only record: a worker has no process that a timer could keep alive, and a request that waits for a timer
// gets it either way.

const { core, context: { assertInHandler } } = internal;
// Pending timers are paid for by the event that started them.
const { admitFiring, currentAccount, endTimer } = internal.load("ext:atoll_js/03_account.js");
const { validateFunction, validateNumber } = require("internal/validators");
const hooks = require("internal/async_hooks");

const TIMEOUT_MAX = 2 ** 31 - 1;
const kCustomPromisify = Symbol.for("nodejs.util.promisify.custom");

// Pending timers by id: clearTimeout takes the number or its text too, once it was asked for.
const byId = new Map();

class Timeout {
  #timer;
  #refed = true;
  #context;
  #args;
  #repeat;
  #id = hooks.newAsyncId();
  #trigger = hooks.defaultTriggerId();
  #known = false;
  #destroyed = false;

  constructor(callback, delay, args, repeat) {
    delay = delay === undefined ? 1 : delay * 1;
    if (!(delay >= 1 && delay <= TIMEOUT_MAX)) {
      if (delay > TIMEOUT_MAX) {
        require("process").emitWarning(
          `${delay} does not fit into a 32-bit signed integer.\nTimeout duration was set to 1.`,
          "TimeoutOverflowWarning",
        );
      }
      delay = 1;
    }
    this._idleTimeout = delay;
    this._onTimeout = callback;
    this._repeat = repeat ? delay : null;
    this.#args = args;
    this.#repeat = repeat;
    this.#context = core.getAsyncContext();
    this[hooks.kAsyncId] = this.#id;
    this[hooks.kTriggerId] = this.#trigger;
    hooks.emitInit(this.#id, "Timeout", this.#trigger, this);
    this.#start();
  }

  #start() {
    const account = currentAccount();
    account.admitTimer();
    account.addTimer(this);
    this.#timer = core.createTimer(() => this.#fire(), this._idleTimeout, undefined, this.#repeat, true, false);
    if (this.#known) byId.set(this.#timer._timerId, this);
  }

  #fire() {
    const timer = this.#timer;
    // Cleared or started again by what comes before it.
    if (!admitFiring(this) || timer !== this.#timer) return;
    const outer = core.getAsyncContext();
    core.setAsyncContext(this.#context);
    hooks.emitBefore(this.#id, this.#trigger, this);
    try {
      const args = this.#args;
      if (args.length === 0) this._onTimeout();
      else this._onTimeout(...args);
    } catch (error) {
      // Here, in the timer's own context.
      globalThis.reportError(error);
    } finally {
      hooks.emitAfter(this.#id);
      // Whoever refreshed it meanwhile has another turn to come.
      if (timer === this.#timer && (!this.#repeat || this._idleTimeout === -1) && !this.#destroyed) this.#end();
      core.setAsyncContext(outer);
    }
  }

  #end() {
    if (this.#destroyed) return;
    this.#destroyed = true;
    endTimer(this);
    if (this.#known) byId.delete(this.#timer._timerId);
    hooks.emitDestroy(this.#id);
  }

  static clear(timeout) {
    if (timeout.#destroyed) return;
    core.cancelTimer(timeout.#timer);
    timeout._idleTimeout = -1;
    timeout._onTimeout = null;
    timeout.#end();
  }

  static is(value) {
    return typeof value === "object" && value !== null && #timer in value;
  }

  get _destroyed() {
    return this.#destroyed;
  }

  refresh() {
    if (this._onTimeout === null) return this;
    core.cancelTimer(this.#timer);
    endTimer(this);
    if (this.#known) byId.delete(this.#timer._timerId);
    this.#destroyed = false;
    this.#start();
    return this;
  }

  unref() {
    this.#refed = false;
    return this;
  }

  ref() {
    this.#refed = true;
    return this;
  }

  hasRef() {
    return this.#refed && !this.#destroyed;
  }

  close() {
    clearTimeout(this);
    return this;
  }

  [Symbol.toPrimitive]() {
    const id = this.#timer._timerId;
    if (!this.#known && !this.#destroyed) {
      this.#known = true;
      byId.set(id, this);
    }
    return id;
  }

  [Symbol.dispose]() {
    clearTimeout(this);
  }
}

const { clear: clearTimer, is: isTimeout } = Timeout;
delete Timeout.clear;
delete Timeout.is;

function setTimeout(callback, delay = undefined, ...args) {
  assertInHandler();
  validateFunction(callback, "callback");
  return new Timeout(callback, delay, args, false);
}

function setInterval(callback, delay = undefined, ...args) {
  assertInHandler();
  validateFunction(callback, "callback");
  return new Timeout(callback, delay, args, true);
}

function clearTimeout(timer = undefined) {
  if (isTimeout(timer)) clearTimer(timer);
  else if (typeof timer === "number" || typeof timer === "string") {
    const known = byId.get(Number(timer));
    if (known !== undefined) clearTimer(known);
  }
}

function clearInterval(timer = undefined) {
  clearTimeout(timer);
}

class Immediate {
  #refed = true;

  constructor(callback, args) {
    this._idleNext = null;
    this._idlePrev = null;
    this._onImmediate = null;
    this._argv = undefined;
    this._destroyed = false;
    this.asyncId = hooks.newAsyncId();
    this.triggerAsyncId = hooks.defaultTriggerId();
    this[hooks.kAsyncId] = this.asyncId;
    this[hooks.kTriggerId] = this.triggerAsyncId;
    const context = core.getAsyncContext();
    this._onImmediate = () => {
      const outer = core.getAsyncContext();
      core.setAsyncContext(context);
      try {
        Reflect.apply(callback, this, args);
      } catch (error) {
        // The other immediates of this turn run on.
        globalThis.reportError(error);
      } finally {
        core.setAsyncContext(outer);
      }
    };
    for (const key of Object.keys(this)) Object.defineProperty(this, key, { enumerable: false });
    hooks.emitInit(this.asyncId, "Immediate", this.triggerAsyncId, this);
    this[core.kRefed] = true;
    Object.defineProperty(this, core.kRefed, { enumerable: false });
    core.immediateRefCount(true);
    core.queueImmediate(this);
  }

  ref() {
    this.#refed = true;
    return this;
  }

  unref() {
    this.#refed = false;
    return this;
  }

  hasRef() {
    return this.#refed && !this._destroyed;
  }

  static is(value) {
    return typeof value === "object" && value !== null && #refed in value;
  }

  [Symbol.dispose]() {
    clearImmediate(this);
  }
}

const { is: isImmediate } = Immediate;
delete Immediate.is;

function setImmediate(callback, ...args) {
  assertInHandler();
  validateFunction(callback, "callback");
  return new Immediate(callback, args);
}

function clearImmediate(immediate = undefined) {
  if (isImmediate(immediate)) core.clearImmediate(immediate);
}

// Of the hooks' destroy events: not an Immediate of the worker's.
internal.setImmediateHook = (callback) => {
  const item = {
    _idleNext: null,
    _idlePrev: null,
    _onImmediate: callback,
    _argv: undefined,
    _destroyed: false,
    [core.kRefed]: true,
  };
  core.immediateRefCount(true);
  core.queueImmediate(item);
};

function abortError(signal) {
  const { AbortError } = require("internal/errors");
  return new AbortError(undefined, { cause: signal.reason });
}

function checkOptions(options) {
  const { validateAbortSignal, validateBoolean, validateObject } = require("internal/validators");
  validateObject(options, "options");
  if (options.signal !== undefined) validateAbortSignal(options.signal, "options.signal");
  if (options.ref !== undefined) validateBoolean(options.ref, "options.ref");
  return options;
}

// Settles with the timer or with the signal. start(resolve) begins and returns what cancels.
function waitFor(start, value, options) {
  let signal;
  try {
    ({ signal } = checkOptions(options));
  } catch (error) {
    return Promise.reject(error);
  }
  if (signal?.aborted) return Promise.reject(abortError(signal));
  return new Promise((resolve, reject) => {
    let onAbort;
    const cancel = start(() => {
      if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
      resolve(value);
    });
    if (signal !== undefined) {
      onAbort = () => {
        cancel();
        reject(abortError(signal));
      };
      signal.addEventListener("abort", onAbort, { once: true });
    }
  });
}

function checkDelay(delay) {
  if (delay !== undefined) validateNumber(delay, "delay");
}

const promises = {
  setTimeout(delay = undefined, value = undefined, options = {}) {
    try {
      checkDelay(delay);
    } catch (error) {
      return Promise.reject(error);
    }
    return waitFor((done) => {
      const timer = setTimeout(done, delay);
      if (options.ref === false) timer.unref();
      return () => clearTimeout(timer);
    }, value, options);
  },

  setImmediate(value = undefined, options = {}) {
    return waitFor((done) => {
      const immediate = setImmediate(done);
      if (options.ref === false) immediate.unref();
      return () => clearImmediate(immediate);
    }, value, options);
  },

  async *setInterval(delay = undefined, value = undefined, options = {}) {
    checkDelay(delay);
    const { signal, ref } = checkOptions(options);
    if (signal?.aborted) throw abortError(signal);
    let wake;
    let fired = 0;
    let aborted = false;
    const onAbort = () => {
      aborted = true;
      clearInterval(interval);
      wake?.();
    };
    const interval = setInterval(() => {
      fired++;
      wake?.();
    }, delay);
    if (ref === false) interval.unref();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      while (true) {
        if (fired === 0 && !aborted) {
          await new Promise((resolve) => {
            wake = resolve;
          });
          wake = undefined;
        }
        for (; fired > 0; fired--) yield value;
        if (aborted) throw abortError(signal);
      }
    } finally {
      clearInterval(interval);
      signal?.removeEventListener("abort", onAbort);
    }
  },
};

for (const [fn, name] of [[setTimeout, "setTimeout"], [setImmediate, "setImmediate"]]) {
  Object.defineProperty(fn, kCustomPromisify, { enumerable: true, get: () => promises[name] });
}

module.exports = {
  clearImmediate,
  clearInterval,
  clearTimeout,
  Immediate,
  promises,
  setImmediate,
  setInterval,
  setTimeout,
  Timeout,
  TIMEOUT_MAX,
};
