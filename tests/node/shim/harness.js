// What Node does around a program: exceptions that nobody catches, process.exit, the exit events, and the verdict.
"use strict";

const before = new Set(enumerableGlobals());
const allowed = new Set(["global", "process", "Buffer", "setImmediate", "clearImmediate"]);

const failures = [];
const checks = [];
let skipped = null;
let exited = false;

// Thrown by process.exit: nothing of the program runs after it.
const EXIT = { toString: () => "process.exit was called" };
// The host waits for nothing any more once it reads this.
const tellExit = console.debug.bind(console, "process.exit was called");

function enumerableGlobals() {
  const names = [];
  for (const name in globalThis) names.push(name);
  return names;
}

function optional(name, fallback) {
  try {
    return require(name);
  } catch (error) {
    if (!/No such module/.test(error?.message)) throw error;
    return fallback();
  }
}

function define(name, value) {
  Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
}

function describe(error) {
  if (error instanceof Error || (typeof error === "object" && error !== null && "stack" in error)) {
    const text = `${error.stack}`;
    // An AssertionError's stack may lack what its message tells.
    return text.includes(`${error.message}`.slice(0, 40)) ? text : `${error.message}\n${text}`;
  }
  try {
    return `threw ${typeof error}: ${String(error)}`;
  } catch {
    return "threw a value that cannot be shown";
  }
}

function fail(error) {
  failures.push(describe(error));
}

function uncaught(error, origin) {
  if (error === EXIT || exited) return;
  try {
    process.emit("uncaughtExceptionMonitor", error, origin);
    if (process.listenerCount("uncaughtException") > 0) process.emit("uncaughtException", error, origin);
    else {
      fail(error);
      process.exitCode = 1;
    }
  } catch (second) {
    if (second !== EXIT) fail(second);
  }
}

function rejected(reason, promise) {
  if (reason === EXIT || exited) return;
  try {
    if (process.listenerCount("unhandledRejection") > 0) process.emit("unhandledRejection", reason, promise);
    else uncaught(reason, "unhandledRejection");
  } catch (second) {
    if (second !== EXIT) fail(second);
  }
}

function emitExit(code) {
  exited = true;
  process._exiting = true;
  try {
    process.emit("exit", code);
  } catch (error) {
    if (error !== EXIT) fail(error);
  }
}

function prepare() {
  define("process", optional("process", () => require("fallback/process")));
  if (!canLoad("timers")) {
    define("setImmediate", (callback, ...args) => setTimeout(callback, 0, ...args));
    define("clearImmediate", (id) => clearTimeout(id));
  }
  process.argv = ["/node/bin/node", "/node/test"];
  process.execArgv ??= [];
  process.exit = (code = process.exitCode) => {
    if (!exited) {
      if (code !== undefined) process.exitCode = code;
      emitExit(Number(process.exitCode ?? 0));
      if (Number(process.exitCode ?? 0) !== 0 && failures.length === 0) fail(new Error(`process.exit(${process.exitCode}) was called`));
      tellExit();
    }
    throw EXIT;
  };
  process.reallyExit = process.exit;
  globalThis.addEventListener("error", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    uncaught(event.error, "uncaughtException");
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    rejected(event.reason, event.promise);
  });
}

function run(load) {
  prepare();
  try {
    load();
  } catch (error) {
    uncaught(error, "uncaughtException");
  }
}

async function runAsync(load) {
  prepare();
  try {
    await load();
  } catch (error) {
    uncaught(error, "uncaughtException");
  }
}

function canLoad(name) {
  return optional(name, () => null) !== null;
}

// True if a listener was called, which may have started something.
function beforeExit() {
  if (exited || failures.length > 0 || process.listenerCount("beforeExit") === 0) return false;
  try {
    process.emit("beforeExit", Number(process.exitCode ?? 0));
  } catch (error) {
    uncaught(error, "uncaughtException");
  }
  return true;
}

function finish() {
  if (!exited) emitExit(Number(process.exitCode ?? 0));
  if (skipped === null && failures.length === 0) {
    for (const check of checks) {
      const problem = check();
      if (problem !== null) failures.push(problem);
    }
    const leaked = enumerableGlobals().filter((name) => !before.has(name) && !allowed.has(name));
    if (leaked.length > 0) failures.push(`unexpected globals: ${leaked.join(", ")}`);
    const code = Number(process.exitCode ?? 0);
    if (code !== 0) failures.push(`process.exitCode is ${code}`);
  }
  return { failures, skipped };
}

module.exports = {
  allowGlobals: (names) => names.forEach((name) => allowed.add(name)),
  atExit: (check) => checks.push(check),
  beforeExit,
  fail,
  finish,
  require: (name) => require(name),
  run,
  runAsync,
  skip(reason) {
    skipped = `${reason}`;
    process.exitCode = 0;
    emitExit(0);
    throw EXIT;
  },
  wasSkipped: () => skipped,
};
