// process.nextTick: the engine's own queue, which runs before promise reactions, as in Node.js.

const { core } = internal;
const { validateFunction } = require("internal/validators");
const hooks = require("internal/async_hooks");

function nextTick(callback, ...args) {
  validateFunction(callback, "callback");
  const asyncId = hooks.newAsyncId();
  const triggerAsyncId = hooks.defaultTriggerId();
  const tick = {
    asyncId,
    triggerAsyncId,
    callback,
    args: args.length === 0 ? undefined : args,
    snapshot: core.getAsyncContext(),
    [hooks.kAsyncId]: asyncId,
    [hooks.kTriggerId]: triggerAsyncId,
  };
  hooks.emitInit(asyncId, "TickObject", triggerAsyncId, tick);
  core.queueNextTick(tick);
}

module.exports = { nextTick };
