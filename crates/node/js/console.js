// exports: Console, assert, clear, context, count, countReset, createTask, debug, dir, dirxml, error, group, groupCollapsed, groupEnd
// exports: info, log, profile, profileEnd, table, time, timeEnd, timeLog, timeStamp, trace, warn
//
// node:console: the worker's console, and Console for streams of one's own.

const { codes: { ERR_INCOMPATIBLE_OPTION_PAIR, ERR_INVALID_ARG_VALUE, ERR_METHOD_NOT_IMPLEMENTED }, E, codes } = require(
  "internal/errors",
);
const { validateArray, validateInteger, validateObject } = require("internal/validators");

if (codes.ERR_CONSOLE_WRITABLE_STREAM === undefined) {
  E("ERR_CONSOLE_WRITABLE_STREAM", (name) => `Console expects a writable stream instance for ${name}`, TypeError);
}

const GROUP_INDENTATION_MAX = 1000;

function ignore() {}

// What a stream's writes call back. One for all writes: streams settle those with the same callback together.
function writeHandler(stream) {
  return (error) => {
    // The error is told to nobody if nobody else listens, but it is no uncaught exception.
    if (error != null && stream.listenerCount?.("error") === 0) stream.once("error", ignore);
  };
}

class Console {
  #stdout;
  #stderr;
  #handlers;
  #ignoreErrors;
  #inspectOptions;
  #step;
  #indent = "";
  #counts = new Map();
  #timers = new Map();

  constructor(options, ...rest) {
    if (!options || typeof options.write === "function") {
      options = { stdout: options, stderr: rest[0], ignoreErrors: rest[1] };
    }
    const { stdout, stderr = stdout, ignoreErrors = true, colorMode = "auto", inspectOptions, groupIndentation } = options;
    for (const [name, stream] of [["stdout", stdout], ["stderr", stderr]]) {
      if (!stream || typeof stream.write !== "function") throw new codes.ERR_CONSOLE_WRITABLE_STREAM(name);
    }
    if (typeof colorMode !== "boolean" && colorMode !== "auto") throw new ERR_INVALID_ARG_VALUE("colorMode", colorMode);
    if (groupIndentation !== undefined) {
      validateInteger(groupIndentation, "groupIndentation", 0, GROUP_INDENTATION_MAX);
    }
    if (inspectOptions !== undefined) {
      validateObject(inspectOptions, "options.inspectOptions");
      if (inspectOptions.colors !== undefined && options.colorMode !== undefined && ERR_INCOMPATIBLE_OPTION_PAIR) {
        throw new ERR_INCOMPATIBLE_OPTION_PAIR("options.inspectOptions.color", "colorMode");
      }
    }
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#handlers = new Map([[stdout, writeHandler(stdout)], [stderr, writeHandler(stderr)]]);
    this.#ignoreErrors = ignoreErrors;
    this.#inspectOptions = { colors: colorMode === true, ...inspectOptions };
    this.#step = groupIndentation ?? 2;
    // Methods work without their object.
    for (const name of Object.getOwnPropertyNames(Console.prototype)) {
      if (name === "constructor") continue;
      Object.defineProperty(this, name, {
        value: this[name].bind(this),
        writable: true,
        enumerable: true,
        configurable: true,
      });
      Object.defineProperty(this[name], "name", { value: name });
    }
    Object.defineProperty(this, "_stdout", { value: stdout, writable: true, enumerable: true, configurable: true });
    Object.defineProperty(this, "_stderr", { value: stderr, writable: true, enumerable: true, configurable: true });
  }

  #write(stream, text) {
    if (this.#indent !== "") text = this.#indent + text.replaceAll("\n", `\n${this.#indent}`);
    text += "\n";
    if (!this.#ignoreErrors) {
      stream.write(text);
      return;
    }
    // A broken stream is not the caller's fault: neither now nor later.
    stream.once?.("error", ignore);
    try {
      stream.write(text, this.#handlers.get(stream));
    } catch (error) {
      if (error instanceof RangeError && error.message.startsWith("Maximum call stack")) throw error;
    } finally {
      stream.removeListener?.("error", ignore);
    }
  }

  #format(args) {
    return require("util").formatWithOptions(this.#inspectOptions, ...args);
  }

  log(...args) {
    this.#write(this.#stdout, this.#format(args));
  }

  info(...args) {
    this.#write(this.#stdout, this.#format(args));
  }

  debug(...args) {
    this.#write(this.#stdout, this.#format(args));
  }

  warn(...args) {
    this.#write(this.#stderr, this.#format(args));
  }

  error(...args) {
    this.#write(this.#stderr, this.#format(args));
  }

  dir(object, options = undefined) {
    const { inspect } = require("util");
    this.#write(this.#stdout, inspect(object, { customInspect: false, ...this.#inspectOptions, ...options }));
  }

  time(label = "default") {
    label = `${label}`;
    if (this.#timers.has(label)) {
      require("process").emitWarning(`Label '${label}' already exists for console.time()`);
      return;
    }
    this.#timers.set(label, performance.now());
  }

  #elapsed(label, method) {
    const start = this.#timers.get(label);
    if (start === undefined) {
      require("process").emitWarning(`No such label '${label}' for console.${method}()`);
      return undefined;
    }
    const ms = performance.now() - start;
    return `${label}: ${ms >= 1000 ? `${(ms / 1000).toFixed(3)}s` : `${Number(ms.toFixed(3))}ms`}`;
  }

  timeEnd(label = "default") {
    label = `${label}`;
    const text = this.#elapsed(label, "timeEnd");
    if (text === undefined) return;
    this.#timers.delete(label);
    this.log("%s", text);
  }

  timeLog(label = "default", ...data) {
    label = `${label}`;
    const text = this.#elapsed(label, "timeLog");
    if (text !== undefined) this.log("%s", text, ...data);
  }

  trace(...args) {
    const trace = { name: "Trace", message: this.#format(args) };
    Error.captureStackTrace(trace, this.trace);
    this.error(trace.stack);
  }

  assert(expression, ...args) {
    if (expression) return;
    if (typeof args[0] === "string") args[0] = `Assertion failed: ${args[0]}`;
    else args.unshift("Assertion failed");
    this.warn(...args);
  }

  clear() {}

  count(label = "default") {
    label = `${label}`;
    const count = (this.#counts.get(label) ?? 0) + 1;
    this.#counts.set(label, count);
    this.log(`${label}: ${count}`);
  }

  countReset(label = "default") {
    label = `${label}`;
    if (!this.#counts.delete(label)) {
      require("process").emitWarning(`Count for '${label}' does not exist`);
    }
  }

  group(...data) {
    if (data.length !== 0) this.log(...data);
    this.#indent += " ".repeat(this.#step);
  }

  groupEnd() {
    this.#indent = this.#indent.slice(0, this.#indent.length - this.#step);
  }

  table(data, columns = undefined) {
    if (columns !== undefined) validateArray(columns, "properties");
    if (data === null || typeof data !== "object") {
      this.log(data);
      return;
    }
    this.log(drawTable(data, columns));
  }

  dirxml(...args) {
    this.log(...args);
  }

  groupCollapsed(...data) {
    this.group(...data);
  }
}

function cell(value) {
  const { inspect } = require("util");
  const depth = value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 2 ? -1 : 0;
  return inspect(value, { maxArrayLength: 3, breakLength: Infinity, colors: false, depth });
}

const INDEX = "(index)";
const VALUES = "Values";

function drawTable(data, columns) {
  let index = INDEX;
  let entries;
  if (data instanceof Map) {
    index = "(iteration index)";
    const head = [index, "Key", VALUES];
    const rows = [...data].map(([key, value], i) => [`${i}`, cell(key), cell(value)]);
    return draw(head, rows);
  }
  if (data instanceof Set) {
    index = "(iteration index)";
    entries = [...data].map((value, i) => [`${i}`, value]);
  } else entries = Object.keys(data).map((key) => [key, data[key]]);
  const names = columns?.map(String) ?? [];
  let plain = false;
  if (columns === undefined) {
    for (const [, value] of entries) {
      if (value === null || (typeof value !== "object" && typeof value !== "function")) continue;
      for (const name of Object.keys(value)) if (!names.includes(name)) names.push(name);
    }
  }
  const rows = entries.map(([key, value]) => {
    const primitive = value === null || (typeof value !== "object" && typeof value !== "function");
    plain ||= primitive;
    const fields = names.map((name) => !primitive && Object.hasOwn(value, name) ? cell(value[name]) : "");
    return [key, ...fields, primitive ? cell(value) : ""];
  });
  const head = [index, ...names, ...(plain ? [VALUES] : [])];
  return draw(head, rows.map((row) => row.slice(0, head.length)));
}

function draw(head, rows) {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)) + 2);
  const rule = (left, middle, right) => left + widths.map((width) => "\u2500".repeat(width)).join(middle) + right;
  const line = (cells) => `\u2502${cells.map((text, i) => ` ${text.padEnd(widths[i] - 1)}`).join("\u2502")}\u2502`;
  return [
    rule("\u250c", "\u252c", "\u2510"),
    line(head),
    rule("\u251c", "\u253c", "\u2524"),
    ...rows.map(line),
    rule("\u2514", "\u2534", "\u2518"),
  ].join("\n");
}

// Console is callable without new.
const CallableConsole = new Proxy(Console, {
  apply: (target, _this, args) => Reflect.construct(target, args),
});
Object.defineProperty(Console.prototype, "constructor", { value: CallableConsole, writable: true, configurable: true });

const { console } = globalThis;
const additions = {
  Console: CallableConsole,
  context() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("console.context");
  },
  createTask() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("console.createTask");
  },
};
for (const [name, value] of Object.entries(additions)) {
  if (name in console) continue;
  Object.defineProperty(console, name, { value, writable: true, enumerable: true, configurable: true });
}
for (const [name, stream] of [["_stdout", "stdout"], ["_stderr", "stderr"]]) {
  if (name in console) continue;
  Object.defineProperty(console, name, { get: () => require("process")[stream], enumerable: false, configurable: true });
}

module.exports = console;
