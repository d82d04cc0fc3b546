const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};

const seen = (work) => {
  const list = [];
  work(new EventTarget(), (...values) => list.push(...values));
  return list;
};
export default {
  async fetch() {
    return Response.json({
      order: seen((t, log) => { t.addEventListener("x", () => log("a")); t.addEventListener("x", { handleEvent() { log("b"); } }); t.dispatchEvent(new Event("x")); }),
      once: seen((t, log) => { t.addEventListener("x", () => log("a"), { once: true }); t.dispatchEvent(new Event("x")); t.dispatchEvent(new Event("x")); }),
      same: seen((t, log) => { const f = () => log("a"); t.addEventListener("x", f); t.addEventListener("x", f); t.dispatchEvent(new Event("x")); t.removeEventListener("x", f); t.dispatchEvent(new Event("x")); }),
      signal: seen((t, log) => { const c = new AbortController(); t.addEventListener("x", () => log("a"), { signal: c.signal }); c.abort(); t.dispatchEvent(new Event("x")); }),
      stop: seen((t, log) => { t.addEventListener("x", (e) => { log("a"); e.stopImmediatePropagation(); }); t.addEventListener("x", () => log("b")); t.dispatchEvent(new Event("x")); }),
      prevent: seen((t, log) => { t.addEventListener("x", (e) => e.preventDefault()); log(t.dispatchEvent(new Event("x", { cancelable: true }))); }),
      custom: seen((t, log) => { t.addEventListener("x", (e) => log(e.detail)); t.dispatchEvent(new CustomEvent("x", { detail: { n: 1 } })); }),
      subclass: seen((_, log) => { class Mine extends EventTarget {} const m = new Mine(); m.addEventListener("x", (e) => log(e.target === m, e.type)); m.dispatchEvent(new Event("x")); }),
      abort: (() => { const c = new AbortController(); const before = c.signal.aborted; c.abort(); return [before, c.signal.aborted, c.signal.reason.name, thrown(() => c.signal.throwIfAborted())]; })(),
      reason: (() => { const c = new AbortController(); c.abort("why"); c.abort("again"); return c.signal.reason; })(),
      any: (() => { const c = new AbortController(); const any = AbortSignal.any([c.signal, new AbortController().signal]); c.abort("x"); return [any.aborted, any.reason]; })(),
      static: [AbortSignal.abort().aborted, AbortSignal.abort(5).reason],
      timeout: await new Promise((resolve) => { const s = AbortSignal.timeout(5); s.addEventListener("abort", () => resolve([s.aborted, s.reason.name])); }),
      onabort: await new Promise((resolve) => { const c = new AbortController(); c.signal.onabort = (e) => resolve(e.type); c.abort(); }),
      exception: (() => { const e = new DOMException("m", "AbortError"); return [e.name, e.message, e.code, e instanceof Error]; })(),
    });
  },
};
