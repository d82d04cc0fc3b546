// util.inspect and util.format. Values are formatted by the console's own engine (deno_web), which follows Node's output; the
// options, their checks and the format specifiers are here.

const { validateObject, validateString, kValidateObjectAllowArray } = require("internal/validators");
const {
  colors, createStylizeWithColor, formatValue, getStringWidth, stripVTControlCharacters: strip, styles,
} = internal.load("ext:deno_web/01_console.js");

const custom = Symbol.for("nodejs.util.inspect.custom");
// Web classes of the engine that describe themselves do so under this name.
const engineCustom = Symbol.for("Deno.privateCustomInspect");

const defaults = Object.seal({
  showHidden: false,
  depth: 2,
  colors: false,
  customInspect: true,
  showProxy: false,
  maxArrayLength: 100,
  maxStringLength: 10000,
  breakLength: 80,
  compact: 3,
  sorted: false,
  getters: false,
  numericSeparator: false,
});

const QUOTES = ["'", '"', "`"];
const OPTION_NAMES = new Set(Object.keys(defaults));

const plain = (text) => text;

function contextOf(options, legacy) {
  const ctx = { budget: {}, indentationLvl: 0, seen: [], currentDepth: 0, stylize: plain, ...defaults, quotes: QUOTES, inspect };
  if (legacy !== null) {
    if (legacy.depth !== undefined) ctx.depth = legacy.depth;
    if (legacy.colors !== undefined) ctx.colors = legacy.colors;
  }
  if (typeof options === "boolean") ctx.showHidden = options;
  else if (options) {
    for (const key of Object.keys(options)) {
      // Anything else is for custom inspection functions.
      if (OPTION_NAMES.has(key) || key === "stylize") ctx[key] = options[key];
      else if (ctx.userOptions === undefined) ctx.userOptions = options;
    }
    if (options.seen !== undefined && options.indentationLvl !== undefined) {
      ctx.seen = options.seen;
      ctx.indentationLvl = options.indentationLvl;
    }
  }
  if (ctx.colors) ctx.stylize = createStylizeWithColor(inspect.styles, inspect.colors);
  if (ctx.maxArrayLength === null) ctx.maxArrayLength = Infinity;
  if (ctx.maxStringLength === null) ctx.maxStringLength = Infinity;
  return ctx;
}

// inspect(value, options) or, as of old, inspect(value, showHidden, depth, colors).
function inspect(value, options, ...old) {
  const legacy = typeof options === "boolean" || old.length > 0 ? { depth: old[0], colors: old[1] } : null;
  return formatValue(contextOf(options, legacy), value, 0);
}

inspect.custom = custom;

Object.defineProperty(inspect, "defaultOptions", {
  get() {
    return defaults;
  },
  set(options) {
    validateObject(options, "options");
    Object.assign(defaults, options);
  },
  enumerable: true,
  configurable: true,
});

inspect.colors = Object.assign(Object.create(null), colors);
inspect.styles = Object.assign(Object.create(null), { ...styles, name: undefined });
delete inspect.styles.name;
delete inspect.styles.temporal;
delete inspect.styles.internalError;
// Other names of the same colors.
for (
  const [alias, name] of [
    ["grey", "gray"], ["blackBright", "gray"], ["bgGrey", "bgGray"], ["bgBlackBright", "bgGray"], ["faint", "dim"],
    ["crossedout", "strikethrough"], ["strikeThrough", "strikethrough"], ["crossedOut", "strikethrough"], ["conceal", "hidden"],
    ["swapColors", "inverse"], ["swapcolors", "inverse"], ["doubleUnderline", "doubleunderline"],
  ]
) {
  Object.defineProperty(inspect.colors, alias, {
    get() {
      return this[name];
    },
    set(value) {
      this[name] = value;
    },
    enumerable: false,
    configurable: true,
  });
}

// JSON.stringify, with what is circular told so. The engine's message for it is learnt from the engine.
let circularStart;

function json(value) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (circularStart === undefined) {
      const loop = {};
      loop.loop = loop;
      try {
        JSON.stringify(loop);
      } catch (known) {
        circularStart = known.message.split("\n", 1)[0];
      }
    }
    if (error?.name === "TypeError" && `${error.message}`.split("\n", 1)[0] === circularStart) return "[Circular]";
    throw error;
  }
}

// Digits in groups of three, from the point outwards.
function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, "_");
}

function numeric(value, separator) {
  if (Object.is(value, -0)) return "-0";
  const text = `${value}`;
  const parts = separator ? /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) : null;
  if (parts === null) return text;
  const [, sign, whole, fraction] = parts;
  const decimals = fraction === undefined ? "" : `.${fraction.replace(/(\d{3})(?=\d)/g, "$1_")}`;
  return `${sign}${grouped(whole)}${decimals}`;
}

function big(value, separator) {
  const text = `${value}`;
  return `${separator ? (value < 0n ? `-${grouped(text.slice(1))}` : grouped(text)) : text}n`;
}

const BUILT_IN = new Set(
  Object.getOwnPropertyNames(globalThis).filter((name) => /^[A-Z][a-zA-Z0-9]+$/.test(name) && name !== "Atomics" && name !== "JSON"),
);

// True if String(value) is worth more than an inspection: a toString or Symbol.toPrimitive of the user's own.
function hasOwnText(value) {
  if (value[engineCustom] !== undefined && typeof value.toString !== "function") return false;
  let proxied = value;
  for (let details = internal.core.getProxyDetails(proxied); details !== null; details = internal.core.getProxyDetails(proxied)) {
    proxied = details[0];
    if (proxied === null) return false;
  }
  if (typeof proxied[Symbol.toPrimitive] === "function" && !(proxied instanceof Date)) {
    if (Object.hasOwn(proxied, Symbol.toPrimitive)) return true;
  } else if (typeof proxied.toString !== "function") return false;
  if (Object.hasOwn(proxied, "toString") || Object.hasOwn(proxied, Symbol.toPrimitive)) return true;
  let pointer = proxied;
  do {
    pointer = Object.getPrototypeOf(pointer);
    if (pointer === null) return false;
  } while (!Object.hasOwn(pointer, "toString") && !Object.hasOwn(pointer, Symbol.toPrimitive));
  const descriptor = Object.getOwnPropertyDescriptor(pointer, "constructor");
  return descriptor === undefined || typeof descriptor.value !== "function" || !BUILT_IN.has(descriptor.value.name) ||
    globalThis[descriptor.value.name] !== descriptor.value;
}

function asString(value, options, separator) {
  switch (typeof value) {
    case "number":
      return numeric(value, separator);
    case "bigint":
      return big(value, separator);
    case "undefined":
    case "boolean":
    case "symbol":
    case "string":
      return String(value);
    case "function":
      if (!hasOwnText(value)) return Function.prototype.toString.call(value);
      return String(value);
    default:
      if (value === null) return "null";
      if (hasOwnText(value)) return String(value);
      return inspect(value, { ...options, depth: 0, colors: false, compact: 3 });
  }
}

function asNumber(value, convert, separator) {
  if (typeof value === "bigint") return big(value, separator);
  if (typeof value === "symbol") return "NaN";
  return numeric(convert(value), separator);
}

// The text for a specifier; undefined if there is no such specifier.
function specified(letter, value, options, separator) {
  switch (letter) {
    case "s":
      return asString(value, options, separator);
    case "j":
      return json(value);
    case "d":
      return asNumber(value, Number, separator);
    case "i":
      return asNumber(value, (text) => Number.parseInt(text), separator);
    case "f":
      return typeof value === "symbol" ? "NaN" : numeric(Number.parseFloat(value), false);
    case "o":
      return inspect(value, { ...options, showHidden: true, showProxy: true, depth: 4 });
    case "O":
      return inspect(value, options);
    case "c":
      return "";
    default:
      return undefined;
  }
}

function formatInner(options, args) {
  const [first] = args;
  const separator = options?.numericSeparator ?? defaults.numericSeparator;
  if (args.length === 1) return typeof first === "string" ? first : inspect(first, options);
  let text = "";
  let used = 0;
  if (typeof first === "string") {
    used = 1;
    let last = 0;
    for (let i = 0; i < first.length - 1; i++) {
      if (first.charCodeAt(i) !== 37) continue;
      const letter = first[i + 1];
      if (letter === "%") {
        text += `${first.slice(last, i)}%`;
        last = i + 2;
        i++;
        continue;
      }
      if (used === args.length) continue;
      const part = specified(letter, args[used], options, separator);
      if (part === undefined && letter !== "j") continue;
      text += `${first.slice(last, i)}${part}`;
      used++;
      last = i + 2;
      i++;
    }
    text += first.slice(last);
  }
  for (let i = used; i < args.length; i++) {
    if (i > 0) text += " ";
    text += typeof args[i] === "string" ? args[i] : inspect(args[i], options);
  }
  return text;
}

function format(...args) {
  return args.length === 0 ? "" : formatInner(undefined, args);
}

function formatWithOptions(inspectOptions, ...args) {
  validateObject(inspectOptions, "inspectOptions", kValidateObjectAllowArray);
  return args.length === 0 ? "" : formatInner(inspectOptions, args);
}

function stripVTControlCharacters(text) {
  validateString(text, "str");
  return strip(text);
}

module.exports = { custom, format, formatWithOptions, getStringWidth, inspect, stripVTControlCharacters };
