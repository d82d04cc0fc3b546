// Runs one test file as testharness.js expects of a worker: the harness, the file's scripts, the file, then done().
// Results are printed as they come, so that those before a crash are not lost.
import { runScript } from "atoll:script";

const MARK = "\u0001";

// Lone surrogates are no text outside of JavaScript.
const printable = (text) => text?.replace(/\p{Surrogate}/gu, (unit) => `\\u${unit.charCodeAt(0).toString(16)}`);

export default {
  async fetch(request) {
    // {href, title, limit_ms, scripts: [{name, source}]}
    const plan = await request.json();
    const print = console.log.bind(console);
    const { setTimeout, fetch, URL } = globalThis;
    const report = (record) => print(MARK + JSON.stringify(record));

    const define = (name, value) =>
      Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
    define("GLOBAL", { isWindow: () => false, isWorker: () => true, isShadowRealm: () => false });
    define("META_TITLE", plan.title);
    // What a browser's worker has and a server's has not, as far as the tests themselves use it to find their data.
    const { href, origin, protocol, host, hostname, port, pathname, search, hash } = new URL(plan.href);
    // These files are made for dedicated workers, and ask what they may expect of the global scope.
    class DedicatedWorkerGlobalScope {
      static [Symbol.hasInstance](value) {
        return value === globalThis;
      }
    }
    define("DedicatedWorkerGlobalScope", DedicatedWorkerGlobalScope);
    define("postMessage", () => {});
    define("location", { href, origin, protocol, host, hostname, port, pathname, search, hash, toString: () => href });
    define("isSecureContext", true);
    if (plan.relative_fetch) {
      define("fetch", function (input, init) {
        return fetch(typeof input === "string" ? new URL(input, plan.href).href : input, init);
      });
    }

    const [harness, ...scripts] = plan.scripts;
    runScript(harness.source, harness.name);
    const completed = new Promise((resolve) => {
      add_result_callback((test) => {
        report({ name: printable(test.name), status: test.status, message: printable(test.message) });
      });
      add_completion_callback((_tests, status) => {
        report({ harness: true, status: status.status, message: printable(status.message) });
        resolve();
      });
    });
    // Long before the host's own limit: what is unfinished then is reported as timed out, by name.
    setTimeout(() => globalThis.timeout(), plan.limit_ms);
    for (const { name, source } of scripts) {
      try {
        runScript(source, name);
      } catch (error) {
        globalThis.reportError(error);
      }
    }
    globalThis.done();
    await completed;
    return new Response("completed");
  },
};
