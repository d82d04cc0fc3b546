// What an event has used, and where that ends: sub-requests, connections, timers, promises given to waitUntil. Each event has
// an Account, which its frames carry (00_context.js); the values come from the worker's limits.
(function () {
const { core } = __bootstrap;
const { hasTickScheduled, runNextTicks } = core;
const { op_limit_hit, op_limits } = core.ops;
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { clearTimeout } = core.loadExtScript("ext:deno_web/02_timers.js");
const { currentFrame } = core.loadExtScript("ext:atoll_js/00_context.js");

// Numbers of limits, as src/ops/limits.rs has them.
const SUBREQUESTS = 0;
const CONNECTIONS = 1;
const TIMERS = 2;
const WAIT_UNTILS = 3;
const BUFFERS = 4;

let subrequestsMax = Infinity;
let connectionsMax = Infinity;
let timersMax = Infinity;
let waitUntilsMax = Infinity;
let buffersMax = Infinity;

// Before the worker's first line.
const readLimits = (function readLimits() {
  [subrequestsMax, connectionsMax, timersMax, waitUntilsMax, buffersMax] = op_limits();
});

// Pending timers: a number (of the global scope's functions) or an object (of node:timers) -> the account that pays for it.
const timers = new Map();

class Account {
  // What the host knows the event by; 0 for none.
  id;
  // It is over, or was ended: it can begin nothing more.
  over = false;
  // It has printed all that it may.
  mute = false;
  waits = 0;
  #subrequests = 0;
  #connections = 0;
  #queue = null;
  #timers = 0;
  #finishedTimers = 0;
  #cancels = null;

  constructor(id) {
    this.id = id;
  }

  // Throws where the event may not make another request or call of a binding.
  chargeSubrequest() {
    this.assertGoesOn();
    if (this.#subrequests >= subrequestsMax) {
      op_limit_hit(SUBREQUESTS, this.id);
      throw new Error(
        "Too many subrequests by single Worker invocation. To configure this limit, refer to " +
          `https://developers.cloudflare.com/workers/wrangler/configuration/#limits (limit subrequests_max = ${subrequestsMax})`,
      );
    }
    this.#subrequests++;
  }

  // How many more requests it may make, at most `most`.
  subrequestsLeft(most) {
    return Math.max(0, Math.min(most, subrequestsMax - this.#subrequests));
  }

  // Null if the event may connect at once, or a promise of when it may. releaseConnection() follows in both cases.
  takeConnection() {
    if (this.#connections < connectionsMax) {
      this.#connections++;
      return null;
    }
    op_limit_hit(CONNECTIONS, this.id);
    return new Promise((resolve) => {
      this.#queue ??= [];
      this.#queue.push(resolve);
    });
  }

  releaseConnection() {
    // Who waits longest gets the place; arrays are short here.
    if (this.#queue !== null && this.#queue.length !== 0) this.#queue.shift()();
    else this.#connections--;
  }

  // Throws where the event may have no further timer; addTimer() follows otherwise.
  admitTimer() {
    this.assertGoesOn();
    if (this.#timers < timersMax) return;
    op_limit_hit(TIMERS, this.id);
    throw new DOMException(
      `You have exceeded the number of active timeouts you may set. max active timeouts: ${timersMax}, current active timeouts: ` +
        `${this.#timers}, finished timeouts: ${this.#finishedTimers}`,
      "QuotaExceededError",
    );
  }

  addTimer(timer) {
    this.#timers++;
    timers.set(timer, this);
  }

  // What is said before a timer fires. Code before it may have left something to process.nextTick, which comes first, as in Node.js;
  // the engine asks for due timers before it looks there. Gives whether the timer is still to fire.
  static admitFiring(timer) {
    if (hasTickScheduled()) runNextTicks();
    return timers.has(timer);
  }

  // A timer is over, whoever ended it.
  static endTimer(timer) {
    const account = timers.get(timer);
    if (account === undefined) return;
    timers.delete(timer);
    account.#timers--;
    account.#finishedTimers++;
  }

  admitWait() {
    if (this.waits >= waitUntilsMax) {
      op_limit_hit(WAIT_UNTILS, this.id);
      throw new RangeError(`Too many unsettled promises were given to waitUntil() (limit wait_untils_max = ${waitUntilsMax}).`);
    }
    this.waits++;
  }

  // `cancel` is called if the event is ended before keep() is.
  onEnd(cancel) {
    this.#cancels ??= new Set();
    this.#cancels.add(cancel);
  }

  keep(cancel) {
    this.#cancels?.delete(cancel);
  }

  assertGoesOn() {
    if (this.over) throw new Error("The event that this code belongs to was ended: it took longer than it may.");
  }

  // Ends whatever the event has begun and can be ended.
  end() {
    this.over = true;
    const cancels = this.#cancels;
    this.#cancels = null;
    if (cancels !== null) for (const cancel of cancels) cancel();
    if (this.#timers === 0) return;
    for (const [timer, account] of timers) {
      if (account !== this) continue;
      if (typeof timer === "number") clearTimeout(timer);
      else timer[Symbol.dispose]();
      endTimer(timer);
    }
  }
}

const { admitFiring, endTimer } = Account;
delete Account.admitFiring;
delete Account.endTimer;

// Code that a resource of the global scope carries into an event has no frame of its own: whoever was entered last pays.
let entered = new Account(0);

function enter(account) {
  entered = account;
}

function currentAccount() {
  return currentFrame()?.account ?? entered;
}

// V8 keeps a text of half a gigabyte that was put together in a few bytes, and makes it whole wherever somebody looks into it.
// So texts that are to become bytes are measured before anybody does. Gives the text.
function boundText(text) {
  if (text.length <= buffersMax) return text;
  op_limit_hit(BUFFERS, currentAccount().id);
  throw new RangeError(
    `A text of ${text.length} characters is more than all buffers of a worker may hold (limit buffer_bytes = ${buffersMax})`,
  );
}

const { encode } = core;
core.encode = (text) => encode(typeof text === "string" ? boundText(text) : text);

return { Account, admitFiring, boundText, currentAccount, endTimer, enter, readLimits };
})();
