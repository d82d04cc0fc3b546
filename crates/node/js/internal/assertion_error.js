// AssertionError and the texts that say how two values differ.

const { inspect } = require("internal/inspect");
const { validateObject } = require("internal/validators");

const TITLES = {
  deepStrictEqual: "Expected values to be strictly deep-equal:",
  partialDeepStrictEqual: "Expected values to be partially and strictly deep-equal:",
  strictEqual: "Expected values to be strictly equal:",
  strictEqualObject: 'Expected "actual" to be reference-equal to "expected":',
  deepEqual: "Expected values to be loosely deep-equal:",
  notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
  notStrictEqual: 'Expected "actual" to be strictly unequal to:',
  notStrictEqualObject: 'Expected "actual" not to be reference-equal to "expected":',
  notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
  notIdentical: "Values have same structure but are not reference-equal:",
  notDeepEqualUnequal: "Expected values not to be loosely deep-equal:",
};

// Two values are shown as `a !== b` if their texts have no more characters than this.
const SHORT_MAX = 12;
// An indicator points at the first difference of two lines if both fit a terminal.
const COLUMNS = 80;
// About how many lines of a difference are shown.
const LINES_MAX = 50;
// How many lines of a value that has no difference are shown.
const VALUE_LINES_MAX = 47;
// What an inspected AssertionError shows of a string: lines, characters.
const STRING_LINES_MAX = 10;
const STRING_MAX = 488;

function show(value) {
  return inspect(value, {
    compact: false,
    customInspect: false,
    depth: 1000,
    maxArrayLength: Infinity,
    showHidden: false,
    showProxy: false,
    sorted: true,
    getters: true,
  });
}

const isReference = (value) => (typeof value === "object" && value !== null) || typeof value === "function";

function shortened(lines) {
  return lines.length > LINES_MAX ? [...lines.slice(0, VALUE_LINES_MAX - 1), "..."] : lines;
}

// Lines of both texts, walked in step. Equal lines beyond two on either side of a change are left out, and what the texts
// have in common at their ends is cut off first.
class LineDiff {
  shown = "";
  // Lines of `expected`, held back until those of `actual` beside them are shown.
  held = "";
  printed = 0;
  equalRun = 0;
  skipped = false;

  constructor(actual, expected) {
    this.actual = actual;
    this.expected = expected;
  }

  // Removes the common end; returns its text.
  cutEnd() {
    const { actual, expected } = this;
    const tail = [];
    while (actual.length > 0 && expected.length > 0 && actual.at(-1) === expected.at(-1)) {
      tail.unshift(actual.pop());
      expected.pop();
    }
    if (tail.length <= 4) return tail.map((line) => `\n  ${line}`).join("");
    this.skipped = true;
    const last = tail.slice(-3).map((line) => `\n  ${line}`).join("");
    return `\n  ${tail[0]}\n...${last}`;
  }

  equal(line) {
    this.shown += this.held;
    this.held = "";
    this.equalRun++;
    if (this.equalRun <= 2) this.keep(line);
  }

  keep(line) {
    this.shown += `\n  ${line}`;
    this.printed++;
  }

  // Shows the end of a run of equal lines before line `at` of `lines`.
  closeRun(lines, at) {
    const run = this.equalRun;
    this.equalRun = 0;
    if (run <= 2) return;
    if (run === 5) this.keep(lines[at - 3]);
    else if (run > 5) {
      this.shown += "\n...";
      this.skipped = true;
    }
    if (run > 3) this.keep(lines[at - 2]);
    this.keep(lines[at - 1]);
  }

  text() {
    const { actual, expected } = this;
    const count = Math.max(actual.length, expected.length);
    const common = Math.min(actual.length, expected.length);
    const longer = actual.length >= expected.length ? actual : expected;
    for (let i = 0; i < count; i++) {
      if (i >= common) {
        this.closeRun(longer, i);
        if (longer === actual) this.shown += `\n+ ${actual[i]}`;
        else this.held += `\n- ${expected[i]}`;
        this.printed++;
      } else if (actual[i] === expected[i] || actual[i] === `${expected[i]},`) {
        this.equal(actual[i]);
      } else if (expected[i] === `${actual[i]},`) {
        this.equal(expected[i]);
      } else {
        this.closeRun(longer, i);
        this.shown += `\n+ ${actual[i]}`;
        this.held += `\n- ${expected[i]}`;
        this.printed += 2;
      }
      if (this.printed > LINES_MAX && i < count - 2) return null;
    }
    return `${this.shown}${this.held}`;
  }
}

function difference(actual, expected, operator, custom) {
  if (operator === "strictEqual" && isReference(actual) && isReference(expected)) operator = "strictEqualObject";
  const title = custom ?? TITLES[operator];
  const shown = show(actual);
  const left = shown.split("\n");
  const right = show(expected).split("\n");
  let indicator = "";
  if (left.length === 1 && right.length === 1 && left[0] !== right[0]) {
    const length = left[0].length + right[0].length;
    const primitive = (value) => typeof value !== "object" || value === null;
    if (length <= SHORT_MAX) {
      if (primitive(actual) && primitive(expected) && (actual !== 0 || expected !== 0)) {
        return `${title}\n\n${left[0]} !== ${right[0]}\n`;
      }
    } else if (operator !== "strictEqualObject" && length < COLUMNS) {
      let at = 0;
      while (left[0][at] === right[0][at]) at++;
      if (at > 2) indicator = `\n  ${" ".repeat(at)}^`;
    }
  }
  const diff = new LineDiff(left, right);
  const end = diff.cutEnd();
  if (left.length === 0 && right.length === 0) {
    return `${custom ?? TITLES.notIdentical}\n\n${shortened(shown.split("\n")).join("\n")}\n`;
  }
  const head = `${title}\n+ actual - expected`;
  const text = diff.text();
  if (text === null) return `${head} ... Lines skipped\n${diff.shown}\n...${diff.held}\n...`;
  return `${head}${diff.skipped ? " ... Lines skipped" : ""}\n${text}${end}${indicator}`;
}

function sameness(actual, operator) {
  let title = TITLES[operator];
  if (operator === "notStrictEqual" && isReference(actual)) title = TITLES.notStrictEqualObject;
  const lines = shortened(show(actual).split("\n"));
  if (lines.length === 1) return `${title}${lines[0].length > 5 ? "\n\n" : " "}${lines[0]}`;
  return `${title}\n\n${lines.join("\n")}\n`;
}

const cut = (text, max) => text.length > max ? `${text.slice(0, max - 3)}...` : text;

function loose(actual, expected, operator) {
  const left = show(actual);
  const right = show(expected);
  if (operator === "notDeepEqual" && left === right) return cut(`${TITLES.notDeepEqual}\n\n${left}`, 1024);
  const [a, b] = [cut(left, 512), cut(right, 512)];
  if (operator === "deepEqual") return `${TITLES.deepEqual}\n\n${a}\n\nshould loosely deep-equal\n\n${b}`;
  if (operator === "notDeepEqual") return `${TITLES.notDeepEqualUnequal}\n\n${a}\n\nshould not loosely deep-equal\n\n${b}`;
  return `${a} ${operator} ${b}`;
}

function generated(actual, expected, operator) {
  switch (operator) {
    case "deepStrictEqual":
    case "strictEqual":
    case "partialDeepStrictEqual":
      return difference(actual, expected, operator);
    case "notDeepStrictEqual":
    case "notStrictEqual":
      return sameness(actual, operator);
    default:
      return loose(actual, expected, operator);
  }
}

// A string that fits an inspected error.
function abbreviated(value) {
  if (typeof value !== "string") return value;
  const lines = value.split("\n", STRING_LINES_MAX + 1);
  if (lines.length > STRING_LINES_MAX) return `${lines.slice(0, STRING_LINES_MAX).join("\n")}\n...`;
  return value.length > STRING_MAX ? `${value.slice(0, STRING_MAX)}...` : value;
}

class AssertionError extends Error {
  constructor(options) {
    validateObject(options, "options");
    const { message, operator, stackStartFn, details, stackStartFunction, actual, expected } = options;
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    try {
      if (message != null) {
        // A comparison says what differs even if it is told what to say.
        super(operator === "deepStrictEqual" || operator === "strictEqual" ? difference(actual, expected, operator, message) : String(message));
      } else {
        // What two errors say is what differs; their stacks always do.
        const hasStack = (value) => typeof value === "object" && value !== null && "stack" in value && value instanceof Error;
        super(hasStack(actual) && hasStack(expected)
          ? generated(stackless(actual), stackless(expected), operator)
          : generated(actual, expected, operator));
      }
    } finally {
      Error.stackTraceLimit = limit;
    }
    this.generatedMessage = !message;
    Object.defineProperty(this, "name", {
      __proto__: null,
      value: "AssertionError [ERR_ASSERTION]",
      enumerable: false,
      writable: true,
      configurable: true,
    });
    this.code = "ERR_ASSERTION";
    if (details) {
      this.actual = undefined;
      this.expected = undefined;
      this.operator = undefined;
      for (let i = 0; i < details.length; i++) {
        this[`message ${i}`] = details[i].message;
        this[`actual ${i}`] = details[i].actual;
        this[`expected ${i}`] = details[i].expected;
        this[`operator ${i}`] = details[i].operator;
        this[`stack trace ${i}`] = details[i].stack;
      }
    } else {
      this.actual = actual;
      this.expected = expected;
      this.operator = operator;
    }
    Error.captureStackTrace(this, stackStartFn || stackStartFunction);
    // The stack's first line is made now, with the code in it.
    void this.stack;
    this.name = "AssertionError";
  }

  toString() {
    return `${this.name} [${this.code}]: ${this.message}`;
  }

  [inspect.custom](_depth, context) {
    const { actual, expected } = this;
    this.actual = abbreviated(actual);
    this.expected = abbreviated(expected);
    try {
      return inspect(this, { ...context, customInspect: false, depth: 0 });
    } finally {
      this.actual = actual;
      this.expected = expected;
    }
  }
}

// The error without its stack.
function stackless(error) {
  const copy = Object.assign(Object.create(Object.getPrototypeOf(error)), error);
  Object.defineProperty(copy, "message", { __proto__: null, value: error.message, configurable: true, writable: true, enumerable: false });
  if (Object.hasOwn(error, "cause")) {
    const { cause } = error;
    const shown = cause !== null && typeof cause === "object" && "stack" in cause ? stackless(cause) : cause;
    Object.defineProperty(copy, "cause", { __proto__: null, value: shown, configurable: true, writable: true, enumerable: false });
  }
  return copy;
}

module.exports = { AssertionError };
