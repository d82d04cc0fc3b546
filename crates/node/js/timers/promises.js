// exports: setTimeout, setImmediate, setInterval, scheduler
const { codes: { ERR_ILLEGAL_CONSTRUCTOR, ERR_INVALID_THIS } } = require("internal/errors");
const { promises: { setImmediate, setInterval, setTimeout } } = require("internal/timers");

const kScheduler = Symbol("kScheduler");

class Scheduler {
  constructor() {
    throw new ERR_ILLEGAL_CONSTRUCTOR();
  }

  yield() {
    if (!this[kScheduler]) throw new ERR_INVALID_THIS("Scheduler");
    return setImmediate();
  }

  wait(delay, options = undefined) {
    if (!this[kScheduler]) throw new ERR_INVALID_THIS("Scheduler");
    return setTimeout(delay, undefined, options === undefined ? undefined : { signal: options.signal, ref: options.ref });
  }
}

const scheduler = Object.create(Scheduler.prototype);
Object.defineProperty(scheduler, kScheduler, { value: true });

module.exports = { setTimeout, setImmediate, setInterval, scheduler };
