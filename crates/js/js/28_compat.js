// Compatibility flags: what they change in the global scope, and the global by which code asks for them. The scripts of APIs
// ask `enabled`, with the name that switches a flag on.
(function () {
const { core } = __bootstrap;
const { op_compat_enabled, op_compat_flags } = core.ops;

const enabled = (function enabled(name) {
  return op_compat_enabled(name);
});

// Flag, and the globals that are there only while it is on.
const GLOBALS = [
  ["global_navigator", ["navigator", "Navigator"]],
  ["expose_global_message_channel", ["MessageChannel", "MessagePort"]],
  ["enable_weak_ref", ["WeakRef", "FinalizationRegistry"]],
];

// Runs before the worker's modules.
const applyCompat = (function applyCompat() {
  for (const [flag, names] of GLOBALS) {
    if (enabled(flag)) continue;
    for (const name of names) delete globalThis[name];
  }
  if (!enabled("enable_navigator_language") && globalThis.navigator !== undefined) {
    const prototype = Object.getPrototypeOf(globalThis.navigator);
    delete prototype.language;
    delete prototype.languages;
  }
  const Cloudflare = {};
  Object.defineProperty(Cloudflare, "compatibilityFlags", {
    // Most workers never ask, and there are two hundred.
    get() {
      const value = Object.freeze(Object.fromEntries(op_compat_flags()));
      Object.defineProperty(Cloudflare, "compatibilityFlags", { value, writable: false, enumerable: true, configurable: false });
      return value;
    },
    enumerable: true,
    configurable: true,
  });
  Object.defineProperty(globalThis, "Cloudflare", { value: Cloudflare, writable: true, enumerable: true, configurable: true });
});

// The cache option of Request and fetch().
function cacheMode(value) {
  if (!enabled("cache_option_enabled")) {
    throw new Error("The 'cache' field on 'RequestInitializerDict' is not implemented.");
  }
  value = `${value}`;
  if (value === "no-store" || (value === "no-cache" && enabled("cache_no_cache_enabled"))) return value;
  throw new TypeError(`Unsupported cache mode: ${value}`);
}

return { applyCompat, cacheMode, enabled };
})();
