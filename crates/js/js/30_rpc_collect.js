// What becomes of an RPC stub that the worker forgets: when the collector finds it, the other side is told that it is not held
// any more, as if it had been disposed of. That may be late or never, so the worker's log says once that it happened.
(function () {
const { core } = __bootstrap;
const { op_log } = core.ops;
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");

// A flag may take it off the global scope.
const Registry = FinalizationRegistry;
// As in 22_console.js.
const WARN = 3;
const WARNING = "An RPC stub was not disposed of, and the garbage collector found it: until then the other side had to keep what " +
  "it stands for. Declare stubs, or the result that brought them, with `using`, or call their [Symbol.dispose](). This is said " +
  "once, and the collector may be late.";

// Made with the first stub: the startup snapshot holds none.
let registry;
let warned = false;

function forgotten(hook) {
  if (!hook.isHeld) return;
  if (!warned) {
    warned = true;
    op_log(WARN, WARNING, currentAccount().id);
  }
  hook.release();
}

// `state` is what all that stands for the stub refers to; `hook` must not refer to it.
function watch(state, hook) {
  registry ??= new Registry(forgotten);
  registry.register(state, hook, state);
}

function unwatch(state) {
  registry?.unregister(state);
}

return { unwatch, watch };
})();
