// The bookkeeping behind node:async_hooks: ids, the stack of running resources, and the hooks that are on.
//
// Without hooks, starting a resource costs one increment and running it a push and a pop. Promises get ids from V8's promise
// hooks, which are switched on with the first hook that is enabled and never before.

const { core, FinalizationRegistry } = internal;

let lastId = 1;
// What is outside of the running resource, three entries each: execution id, trigger id, resource.
const stack = [];
// Code that no resource started has the id 1, as a program's main script in Node.
const ROOT = 1;
let executionId = ROOT;
let triggerId = 0;
let resource = {};
const topResource = resource;
let defaultTrigger = -1;

// AsyncHook objects that are on. Replaced, never changed: a hook may be enabled or disabled while they run.
let active = [];

const kAsyncId = Symbol("async_id_symbol");
const kTriggerId = Symbol("trigger_async_id_symbol");

function newAsyncId() {
  return ++lastId;
}

function executionAsyncId() {
  return executionId;
}

function triggerAsyncId() {
  return triggerId;
}

function executionAsyncResource() {
  return resource;
}

// What new resources name as their trigger.
function defaultTriggerId() {
  return defaultTrigger < 0 ? executionId : defaultTrigger;
}

function withTrigger(id, fn, ...args) {
  const outer = defaultTrigger;
  defaultTrigger = id;
  try {
    return Reflect.apply(fn, null, args);
  } finally {
    defaultTrigger = outer;
  }
}

function enter(id, trigger, running) {
  stack.push(executionId, triggerId, resource);
  executionId = id;
  triggerId = trigger;
  resource = running;
}

function leave(id) {
  if (stack.length === 0 || executionId !== id) return;
  resource = stack.pop();
  triggerId = stack.pop();
  executionId = stack.pop();
}

// Nothing runs any more: after an exception that nobody caught.
function clearStack() {
  stack.length = 0;
  executionId = ROOT;
  triggerId = 0;
  resource = topResource;
}

// What a hook throws has no one to go to: it is reported and the hooks go on.
function run(name, ...args) {
  for (const hook of active) {
    const fn = hook[name];
    if (typeof fn !== "function") continue;
    try {
      Reflect.apply(fn, hook, args);
    } catch (error) {
      globalThis.reportError(error);
    }
  }
}

function emitInit(id, type, trigger, object) {
  if (active.length !== 0) run("init", id, type, trigger, object);
}

function emitBefore(id, trigger, object) {
  if (id === undefined) return;
  // Nothing runs: what ended before this callback is told before it.
  if (destroyed.length !== 0 && stack.length === 0) flushDestroyed();
  enter(id, trigger, object);
  if (active.length !== 0) run("before", id);
}

function emitAfter(id) {
  if (id === undefined) return;
  if (active.length !== 0) run("after", id);
  leave(id);
}

const destroyed = [];

// Destruction is told later, never from within the code that caused it.
function emitDestroy(id) {
  if (id === undefined || active.length === 0 || id <= 0) return;
  if (destroyed.length === 0) internal.setImmediateHook?.(flushDestroyed);
  destroyed.push(id);
}

function flushDestroyed() {
  while (destroyed.length !== 0) {
    const ids = destroyed.splice(0);
    for (const id of ids) run("destroy", id);
  }
}

// Tells when a resource that nobody destroys is collected.
const collected = new FinalizationRegistry(({ id, state }) => {
  if (!state.destroyed) emitDestroy(id);
});

// state.destroyed: somebody destroyed it meanwhile.
function registerDestroy(object, id, state) {
  if (active.length !== 0) collected.register(object, { id, state });
}

// ---- promises

const promises = new WeakMap();
let promiseHooks = false;

// The ids of a promise; those of one that began before any hook was on are made when they are first asked for.
function promiseIds(promise, parent) {
  let ids = promises.get(promise);
  if (ids === undefined) {
    const id = newAsyncId();
    ids = { id, trigger: parent === undefined ? defaultTriggerId() : promiseIds(parent).id };
    promises.set(promise, ids);
  }
  return ids;
}

function initPromise(promise, parent) {
  const ids = promiseIds(promise, parent);
  emitInit(ids.id, "PROMISE", ids.trigger, promise);
  if (active.some((hook) => typeof hook.destroy === "function")) {
    collected.register(promise, { id: ids.id, state: {} });
  }
}

// Hooks cannot be taken back from the engine: they stay, and do nothing while no hook is on.
function hookPromises() {
  if (promiseHooks) return;
  promiseHooks = true;
  core.setPromiseHooks(
    (promise, parent) => {
      if (active.length !== 0) initPromise(promise, parent);
    },
    (promise) => {
      if (active.length === 0 && !promises.has(promise)) return;
      const { id, trigger } = promiseIds(promise);
      emitBefore(id, trigger, promise);
    },
    (promise) => {
      const ids = promises.get(promise);
      if (ids !== undefined) emitAfter(ids.id);
    },
    (promise) => {
      if (active.length === 0) return;
      const ids = promises.get(promise);
      if (ids !== undefined) run("promiseResolve", ids.id);
    },
  );
}

function enableHook(hook) {
  if (active.includes(hook)) return;
  active = [...active, hook];
  hookPromises();
}

function disableHook(hook) {
  active = active.filter((each) => each !== hook);
}

// The engine's nextTick and immediate queues call these.
core.setAsyncHooksEmit(emitBefore, emitAfter, emitDestroy);

module.exports = {
  clearStack,
  defaultTriggerId,
  disableHook,
  emitAfter,
  emitBefore,
  emitDestroy,
  emitInit,
  enableHook,
  executionAsyncId,
  executionAsyncResource,
  hooksActive: () => active.length !== 0,
  kAsyncId,
  kTriggerId,
  newAsyncId,
  registerDestroy,
  triggerAsyncId,
  withTrigger,
};
