// The console as an attached debugger sees it: V8's own console gets what the worker prints, arguments and all, and where
// from. Done only in isolates that have a debugger.
(function () {
const { core } = __bootstrap;
const { callConsole, v8Console } = core;
const { console } = core.loadExtScript("ext:atoll_js/22_console.js");

function mirrorConsole() {
  for (const name of Object.keys(console)) {
    const [own, shown] = [console[name], v8Console[name]];
    if (typeof own !== "function" || typeof shown !== "function") continue;
    // A native function calls both, so that the innermost frame of script is the worker's.
    const both = callConsole.bind(console, shown, own);
    console[name] = Object.defineProperty(both, "name", { value: name, configurable: true });
  }
}

return { mirrorConsole };
})();
