// The text of the call that failed, for assert.ok: read from the worker's own module at the place that the stack names.

const { op_module_text } = internal.ops;

// Modules are known as file:///name; call sites show the path alone.
const PREFIX = /^(?:file:\/\/)?\//;

// Where caller was called: the engine's call site.
function siteOf(caller) {
  const { prepareStackTrace, stackTraceLimit } = Error;
  const holder = {};
  Error.stackTraceLimit = 1;
  Error.prepareStackTrace = (_error, sites) => sites;
  try {
    Error.captureStackTrace(holder, caller);
    return Array.isArray(holder.stack) ? holder.stack[0] : undefined;
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

const IDENTIFIER = /[\w$\u0080-\uffff]/;

// Skips a string, template, comment or regular expression that begins at `at`; returns its end, or `at` if there is none.
function skipToken(text, at, previous) {
  const char = text[at];
  if (char === '"' || char === "'" || char === "`") {
    let i = at + 1;
    while (i < text.length && text[i] !== char) {
      if (text[i] === "\\") i++;
      else if (char === "`" && text[i] === "$" && text[i + 1] === "{") i = closing(text, i + 1) ?? text.length;
      i++;
    }
    return i + 1;
  }
  if (char !== "/") return at;
  if (text[at + 1] === "/") {
    const end = text.indexOf("\n", at);
    return end < 0 ? text.length : end;
  }
  if (text[at + 1] === "*") {
    const end = text.indexOf("*/", at + 2);
    return end < 0 ? text.length : end + 2;
  }
  // A slash after a value divides.
  if (previous !== undefined && (IDENTIFIER.test(previous) || previous === ")" || previous === "]")) return at;
  let inClass = false;
  let i = at + 1;
  for (; i < text.length && (inClass || text[i] !== "/"); i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "[") inClass = true;
    else if (text[i] === "]") inClass = false;
    else if (text[i] === "\n") return at;
  }
  return i + 1;
}

// The index of the bracket that closes the one at `open`; null if there is none.
function closing(text, open) {
  let depth = 0;
  let previous;
  for (let i = open; i < text.length; i++) {
    const end = skipToken(text, i, previous);
    if (end > i) {
      i = end - 1;
      previous = "a";
      continue;
    }
    if ("([{".includes(text[i])) depth++;
    else if (")]}".includes(text[i]) && --depth === 0) return i;
    if (!/\s/.test(text[i])) previous = text[i];
  }
  return null;
}

// The call expression that holds offset `at`, its column as V8 tells it: the callee's name or the property that is called.
function callAt(text, at) {
  let start = at;
  // V8 points at the property in `assert.ok(...)` on one line; the object belongs to the expression.
  while (start > 0 && (IDENTIFIER.test(text[start - 1]) || ".[]'\"".includes(text[start - 1]))) start--;
  while (text[start] === ".") start++;
  let i = at;
  for (;;) {
    while (i < text.length && text[i] !== "(") i++;
    if (i === text.length) return null;
    const end = closing(text, i);
    return end === null ? null : text.slice(start, end + 1);
  }
}

// The columns that the first line of an expression has before it are not part of its other lines.
function unindented(expression, column) {
  const [first, ...rest] = expression.split("\n");
  return [first, ...rest.map((line) => {
    const blank = /^[ \t]*/.exec(line)[0].length;
    return line.slice(Math.min(blank, column));
  })].join("\n  ");
}

// "The expression evaluated to a falsy value" with the expression; undefined if its text cannot be had.
function expressionAt(caller) {
  const site = siteOf(caller);
  const file = site?.getFileName?.();
  if (site === undefined || site.isEval() || typeof file !== "string" || !PREFIX.test(file)) return undefined;
  let text;
  try {
    text = op_module_text(file.replace(PREFIX, ""));
  } catch {
    // Not one of the worker's modules.
    return undefined;
  }
  const lines = text.split("\n");
  const line = site.getLineNumber() - 1;
  if (line >= lines.length) return undefined;
  let at = 0;
  for (let i = 0; i < line; i++) at += lines[i].length + 1;
  const column = site.getColumnNumber() - 1;
  const expression = callAt(text, at + column);
  if (expression === null) return undefined;
  const shown = unindented(expression, /^[ \t]*/.exec(lines[line])[0].length);
  return `The expression evaluated to a falsy value:\n\n  ${shown.replaceAll(/[\u0000-\u0008\u000b-\u001f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)}\n`;
}

module.exports = { expressionAt };
