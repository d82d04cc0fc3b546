// console (Console Standard): arguments are inspected here, the text goes to the host's log.
(function () {
const { core } = __bootstrap;
const { op_log } = core.ops;
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");
const { inspectArgs } = core.loadExtScript("ext:deno_web/01_console.js");

const DEBUG = 0;
const LOG = 1;
const INFO = 2;
const WARN = 3;
const ERROR = 4;

// As Node.js and browsers' consoles prefer them.
const QUOTES = ["'", '"', "`"];
// The longest line that is told, characters.
const LINE_MAX = 128 * 1024;
// Groups within each other that are shown.
const DEPTH_MAX = 50;

const counts = new Map();
const timers = new Map();
let depth = 0;

function print(level, args, options = undefined) {
  const account = currentAccount();
  // What nobody will see need not be formatted.
  if (account.mute) return;
  // A long text is cut before anything is done with it: each thing done takes as much memory again. Not where the first says how the
  // others are shown.
  let left = 0;
  let values = args;
  if (args.length === 1 || typeof args[0] !== "string" || !args[0].includes("%")) {
    let room = LINE_MAX;
    values = args.map((value) => {
      if (typeof value !== "string") return value;
      const shown = value.length <= room ? value : value.slice(0, room);
      left += value.length - shown.length;
      room -= shown.length;
      return shown;
    });
  }
  let text = ownFiles(inspectArgs(values, { colors: false, quotes: QUOTES, ...options }));
  left += Math.max(0, text.length - LINE_MAX);
  const more = left > 0 ? `... ${left} more characters` : "";
  if (more !== "") text = text.slice(0, LINE_MAX);
  if (depth > 0) {
    const indent = "  ".repeat(Math.min(depth, DEPTH_MAX));
    text = (indent + text.replaceAll("\n", `\n${indent}`)).slice(0, LINE_MAX);
  }
  text += more;
  if (!op_log(level, text, account.id)) account.mute = true;
  printHook?.(level, args, text);
}

// Told of everything that is printed, while somebody traces events.
let printHook = null;

function setPrintHook(hook) {
  printHook = hook;
}

// Stacks name files as the developer does, and show nothing of this engine's scripts.
function ownFiles(text) {
  if (!text.includes("file:///") && !text.includes("ext:")) return text;
  return text.replace(/^(\s*at .*?)file:\/\/\//gm, "$1").replace(/\n\s*at [^\n]*\bext:[^\n]*/g, "");
}

function now() {
  return performance.now();
}

function elapsed(label) {
  return `${label}: ${Number((now() - timers.get(label)).toFixed(3))}ms`;
}

function cell(value) {
  return inspectArgs([value], { colors: false, quotes: QUOTES, depth: 1, compact: true });
}

function table(data, only) {
  const rows = [];
  const columns = new Set(only);
  const isList = data instanceof Map || data instanceof Set;
  const entries = isList ? [...(data instanceof Map ? data.values() : data)].entries() : Object.entries(data);
  let plain = false;
  for (const [key, value] of entries) {
    const row = new Map();
    if (value !== null && typeof value === "object") {
      for (const [name, inner] of Object.entries(value)) {
        if (only === undefined) columns.add(name);
        row.set(name, typeof inner === "string" ? `'${inner}'` : cell(inner));
      }
    } else {
      plain = true;
      row.set(VALUES, typeof value === "string" ? `'${value}'` : cell(value));
    }
    rows.push([`${key}`, row]);
  }
  const heads = ["(index)", ...columns, ...(plain ? ["Values"] : [])];
  const names = [...columns, ...(plain ? [VALUES] : [])];
  const lines = rows.map(([key, row]) => [key, ...names.map((name) => row.get(name) ?? "")]);
  const widths = heads.map((head, i) => Math.max(head.length, ...lines.map((line) => line[i].length)) + 2);
  const rule = (left, mid, right) => left + widths.map((width) => "\u2500".repeat(width)).join(mid) + right;
  const show = (line) => `\u2502${line.map((text, i) => ` ${text.padEnd(widths[i] - 1)}`).join("\u2502")}\u2502`;
  return [rule("\u250c", "\u252c", "\u2510"), show(heads), rule("\u251c", "\u253c", "\u2524"), ...lines.map(show), rule("\u2514", "\u2534", "\u2518")].join("\n");
}

const VALUES = Symbol("values");

const console = {
  log: (...args) => print(LOG, args),
  debug: (...args) => print(DEBUG, args),
  info: (...args) => print(INFO, args),
  warn: (...args) => print(WARN, args),
  error: (...args) => print(ERROR, args),
  dir: (value = undefined, options = undefined) => print(LOG, [value], { ...options, colors: false }),
  dirxml: (...args) => print(LOG, args),
  trace: (...args) => {
    const error = { name: "Trace", message: args.length === 0 ? "" : inspectArgs(args, { colors: false }) };
    Error.captureStackTrace(error, console.trace);
    const stack = error.stack.split("\n").slice(1).join("\n");
    print(DEBUG, [`Trace${error.message === "" ? "" : `: ${error.message}`}${stack === "" ? "" : `\n${stack}`}`]);
  },
  assert: (condition = false, ...args) => {
    if (condition) return;
    if (args.length === 0) print(ERROR, ["Assertion failed"]);
    else if (typeof args[0] === "string") print(ERROR, [`Assertion failed: ${args[0]}`, ...args.slice(1)]);
    else print(ERROR, ["Assertion failed:", ...args]);
  },
  count: (label = "default") => {
    label = `${label}`;
    counts.set(label, (counts.get(label) ?? 0) + 1);
    print(LOG, [`${label}: ${counts.get(label)}`]);
  },
  countReset: (label = "default") => {
    label = `${label}`;
    if (counts.has(label)) counts.set(label, 0);
    else print(WARN, [`Count for '${label}' does not exist`]);
  },
  group: (...args) => {
    if (args.length !== 0) print(LOG, args);
    depth++;
  },
  groupCollapsed: (...args) => console.group(...args),
  groupEnd: () => {
    depth = Math.max(0, depth - 1);
  },
  table: (data = undefined, columns = undefined) => {
    if (data === null || typeof data !== "object") print(LOG, [data]);
    else print(LOG, [table(data, Array.isArray(columns) ? columns.map(String) : undefined)]);
  },
  time: (label = "default") => {
    label = `${label}`;
    if (timers.has(label)) print(WARN, [`Timer '${label}' already exists`]);
    else timers.set(label, now());
  },
  timeLog: (label = "default", ...args) => {
    label = `${label}`;
    if (timers.has(label)) print(LOG, [elapsed(label), ...args]);
    else print(WARN, [`Timer '${label}' does not exist`]);
  },
  timeEnd: (label = "default") => {
    label = `${label}`;
    if (!timers.has(label)) {
      print(WARN, [`Timer '${label}' does not exist`]);
      return;
    }
    print(LOG, [elapsed(label)]);
    timers.delete(label);
  },
  clear: () => {},
  timeStamp: () => {},
  profile: () => {},
  profileEnd: () => {},
};

const { performance } = core.loadExtScript("ext:deno_web/15_performance.js");
Object.defineProperty(console, Symbol.toStringTag, { value: "console", configurable: true });

return { console, setPrintHook };
})();
