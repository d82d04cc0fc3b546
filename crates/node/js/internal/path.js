// node:path for both kinds of paths. Both know the same operations; they differ in separators and in what a root is.

const { validateObject, validateString } = require("internal/validators");

// The directory that relative paths begin in.
function workingDirectory() {
  const { process } = globalThis;
  return typeof process?.cwd === "function" ? process.cwd() : "/";
}

// Takes "." and ".." out of the part of a path that follows its root.
function resolveDots(path, allowAboveRoot, separator, isSeparator) {
  const parts = [];
  let part = "";
  for (let i = 0; i <= path.length; i++) {
    if (i < path.length && !isSeparator(path.charCodeAt(i))) {
      part += path[i];
      continue;
    }
    if (part === "..") {
      if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
      else if (allowAboveRoot) parts.push("..");
    } else if (part !== "" && part !== ".") parts.push(part);
    part = "";
  }
  return parts.join(separator);
}

function joined(separator, object) {
  validateObject(object, "pathObject");
  const dir = object.dir || object.root;
  let ext = object.ext || "";
  if (ext !== "" && ext[0] !== ".") ext = `.${ext}`;
  const base = object.base || `${object.name || ""}${ext}`;
  if (!dir) return base;
  return dir === object.root ? `${dir}${base}` : `${dir}${separator}${base}`;
}

// The last part of path[start..], without separators at its end: [begin, end].
function lastPart(path, start, isSeparator) {
  let end = path.length;
  while (end > start && isSeparator(path.charCodeAt(end - 1))) end--;
  let begin = end;
  while (begin > start && !isSeparator(path.charCodeAt(begin - 1))) begin--;
  return [begin, end];
}

// The index of the dot of the extension in a base name; -1 if there is none.
function dotOf(base) {
  const dot = base.lastIndexOf(".");
  return dot <= 0 || base === ".." ? -1 : dot;
}

function baseName(path, suffix, start, isSeparator) {
  if (suffix !== undefined) validateString(suffix, "suffix");
  validateString(path, "path");
  const [begin, end] = lastPart(path, start(path), isSeparator);
  const base = path.slice(begin, end);
  if (suffix !== undefined && suffix !== "" && base !== suffix && base.endsWith(suffix)) return base.slice(0, -suffix.length);
  if (suffix !== undefined && suffix !== "" && path === suffix) return "";
  return base;
}

const SLASH = 47;
const BACKSLASH = 92;
const COLON = 58;

const isPosixSeparator = (code) => code === SLASH;

const posix = {
  resolve(...paths) {
    let resolved = "";
    let absolute = false;
    for (let i = paths.length - 1; i >= -1 && !absolute; i--) {
      const path = i >= 0 ? paths[i] : workingDirectory();
      validateString(path, `paths[${i}]`);
      if (path.length === 0) continue;
      resolved = `${path}/${resolved}`;
      absolute = path.charCodeAt(0) === SLASH;
    }
    resolved = resolveDots(resolved, !absolute, "/", isPosixSeparator);
    if (absolute) return `/${resolved}`;
    return resolved.length > 0 ? resolved : ".";
  },

  normalize(path) {
    validateString(path, "path");
    if (path.length === 0) return ".";
    const absolute = path.charCodeAt(0) === SLASH;
    const trailing = path.charCodeAt(path.length - 1) === SLASH;
    let normal = resolveDots(path, !absolute, "/", isPosixSeparator);
    if (normal.length === 0) {
      if (absolute) return "/";
      return trailing ? "./" : ".";
    }
    if (trailing) normal += "/";
    return absolute ? `/${normal}` : normal;
  },

  isAbsolute(path) {
    validateString(path, "path");
    return path.length > 0 && path.charCodeAt(0) === SLASH;
  },

  join(...paths) {
    for (const path of paths) validateString(path, "path");
    const given = paths.filter((path) => path.length > 0);
    return given.length === 0 ? "." : posix.normalize(given.join("/"));
  },

  relative(from, to) {
    validateString(from, "from");
    validateString(to, "to");
    if (from === to) return "";
    const split = (path) => posix.resolve(path).split("/").filter((part) => part !== "");
    const start = split(from);
    const target = split(to);
    let common = 0;
    while (common < start.length && common < target.length && start[common] === target[common]) common++;
    return [...start.slice(common).map(() => ".."), ...target.slice(common)].join("/");
  },

  toNamespacedPath(path) {
    return path;
  },

  dirname(path) {
    validateString(path, "path");
    if (path.length === 0) return ".";
    const absolute = path.charCodeAt(0) === SLASH;
    let [begin] = lastPart(path, absolute ? 1 : 0, isPosixSeparator);
    if (begin === 0) return absolute ? "/" : ".";
    // Exactly two slashes at the beginning are a root of their own.
    if (absolute && begin === 1) return "/";
    begin--;
    if (absolute && begin === 1 && path.charCodeAt(1) === SLASH && begin === lastSlashRun(path, begin)) return "//";
    return begin === 0 ? (absolute ? "/" : ".") : path.slice(0, begin);
  },

  basename(path, suffix) {
    return baseName(path, suffix, () => 0, isPosixSeparator);
  },

  extname(path) {
    validateString(path, "path");
    const [begin, end] = lastPart(path, 0, isPosixSeparator);
    const base = path.slice(begin, end);
    const dot = dotOf(base);
    return dot < 0 ? "" : base.slice(dot);
  },

  format(object) {
    return joined("/", object);
  },

  parse(path) {
    validateString(path, "path");
    const absolute = path.charCodeAt(0) === SLASH;
    const root = absolute ? "/" : "";
    const [begin, end] = lastPart(path, absolute ? 1 : 0, isPosixSeparator);
    const base = path.slice(begin, end);
    const dot = dotOf(base);
    return {
      root,
      dir: begin > root.length ? path.slice(0, begin - 1) : root,
      base,
      ext: dot < 0 ? "" : base.slice(dot),
      name: dot < 0 ? base : base.slice(0, dot),
    };
  },

  sep: "/",
  delimiter: ":",
  win32: null,
  posix: null,
};

function lastSlashRun(path, at) {
  return path.slice(0, at + 1) === "//" ? at : -1;
}

const isWindowsSeparator = (code) => code === SLASH || code === BACKSLASH;
const isLetter = (code) => (code >= 65 && code <= 90) || (code >= 97 && code <= 122);

// What a path begins with: a drive, a share, a separator.
//   device    "C:" or "\\server\share" or "\\?\..." as normalized; "" if there is none
//   length    of all that is root, its separator included
//   absolute  whether a separator belongs to it
//   share     whether it is a share
function windowsRoot(path) {
  const none = { device: "", length: 0, absolute: false, share: false };
  if (path.length === 0) return none;
  if (isWindowsSeparator(path.charCodeAt(0))) {
    if (path.length === 1 || !isWindowsSeparator(path.charCodeAt(1))) return { ...none, length: 1, absolute: true };
    // \\server\share
    let at = 2;
    const word = () => {
      const begin = at;
      while (at < path.length && !isWindowsSeparator(path.charCodeAt(at))) at++;
      return path.slice(begin, at);
    };
    const gap = () => {
      const begin = at;
      while (at < path.length && isWindowsSeparator(path.charCodeAt(at))) at++;
      return at > begin;
    };
    const server = word();
    if (server === "" || !gap()) return { ...none, length: 1, absolute: true };
    const share = word();
    if (share === "") return { ...none, length: 1, absolute: true };
    return { device: `\\\\${server}\\${share}`, length: at, absolute: true, share: true, whole: at === path.length };
  }
  if (isLetter(path.charCodeAt(0)) && path.charCodeAt(1) === COLON) {
    const absolute = path.length > 2 && isWindowsSeparator(path.charCodeAt(2));
    return { device: path.slice(0, 2), length: absolute ? 3 : 2, absolute, share: false };
  }
  return none;
}

const win32 = {
  resolve(...paths) {
    let device = "";
    let tail = "";
    let absolute = false;
    for (let i = paths.length - 1; i >= -1; i--) {
      let path;
      if (i >= 0) {
        path = paths[i];
        validateString(path, `paths[${i}]`);
        if (path.length === 0) continue;
      } else if (device.length === 0) {
        path = workingDirectory();
      } else {
        // Windows keeps a working directory for each drive, in the environment.
        path = globalThis.process?.env?.[`=${device}`] || workingDirectory();
        if (path === undefined || (path.slice(0, 2).toLowerCase() !== device.toLowerCase() && path.charCodeAt(2) === BACKSLASH)) path = `${device}\\`;
      }
      const root = windowsRoot(path);
      if (root.device.length > 0) {
        if (device.length > 0) {
          // Another drive's path says nothing about this one.
          if (root.device.toLowerCase() !== device.toLowerCase()) continue;
        } else device = root.device;
      }
      if (absolute) {
        if (device.length > 0) break;
      } else {
        tail = `${path.slice(root.length)}\\${tail}`;
        absolute = root.absolute;
        if (absolute && device.length > 0) break;
      }
    }
    tail = resolveDots(tail, !absolute, "\\", isWindowsSeparator);
    return absolute ? `${device}\\${tail}` : `${device}${tail}` || ".";
  },

  normalize(path) {
    validateString(path, "path");
    if (path.length === 0) return ".";
    if (path.length === 1) return path.charCodeAt(0) === SLASH ? "\\" : path;
    const root = windowsRoot(path);
    if (root.share && root.whole) return `${root.device}\\`;
    let tail = root.length < path.length ? resolveDots(path.slice(root.length), !root.absolute, "\\", isWindowsSeparator) : "";
    if (tail.length === 0 && !root.absolute) tail = ".";
    if (tail.length > 0 && isWindowsSeparator(path.charCodeAt(path.length - 1))) tail += "\\";
    // A relative path must not become one of a drive.
    if (!root.absolute && root.device === "" && path.includes(":")) {
      if (tail.length >= 2 && isLetter(tail.charCodeAt(0)) && tail.charCodeAt(1) === COLON) return `.\\${tail}`;
      let at = path.indexOf(":");
      do {
        if (at === path.length - 1 || isWindowsSeparator(path.charCodeAt(at + 1))) return `.\\${tail}`;
        at = path.indexOf(":", at + 1);
      } while (at !== -1);
    }
    return root.absolute ? `${root.device}\\${tail}` : `${root.device}${tail}`;
  },

  isAbsolute(path) {
    validateString(path, "path");
    if (path.length === 0) return false;
    if (isWindowsSeparator(path.charCodeAt(0))) return true;
    return path.length > 2 && isLetter(path.charCodeAt(0)) && path.charCodeAt(1) === COLON && isWindowsSeparator(path.charCodeAt(2));
  },

  join(...paths) {
    for (const path of paths) validateString(path, "path");
    const given = paths.filter((path) => path.length > 0);
    if (given.length === 0) return ".";
    let all = given.join("\\");
    // Two separators at the beginning name a share only if the first path says so, with a server behind them.
    const [first] = given;
    let slashes = 0;
    while (slashes < all.length && isWindowsSeparator(all.charCodeAt(slashes))) slashes++;
    const isShare = isWindowsSeparator(first.charCodeAt(0)) && first.length > 1 && isWindowsSeparator(first.charCodeAt(1)) &&
      (first.length === 2 || !isWindowsSeparator(first.charCodeAt(2)));
    if (isShare && first.length === 2) {
      // "//" and "server" make no share of it unless the slashes are exactly two.
      if (slashes >= 2) all = `\\${all.slice(slashes)}`;
    } else if (!isShare && slashes >= 2) all = `\\${all.slice(slashes)}`;
    return win32.normalize(all);
  },

  relative(from, to) {
    validateString(from, "from");
    validateString(to, "to");
    if (from === to) return "";
    const start = win32.resolve(from);
    const target = win32.resolve(to);
    if (start === target || start.toLowerCase() === target.toLowerCase()) return "";
    const split = (path) => path.split("\\").filter((part) => part !== "");
    const fromParts = split(start);
    const toParts = split(target);
    let common = 0;
    while (common < fromParts.length && common < toParts.length && fromParts[common].toLowerCase() === toParts[common].toLowerCase()) common++;
    // Different drives or shares have nothing in common.
    if (common === 0) return target;
    const isShare = (path) => path.startsWith("\\\\");
    if (isShare(start) !== isShare(target)) return target;
    return [...fromParts.slice(common).map(() => ".."), ...toParts.slice(common)].join("\\");
  },

  toNamespacedPath(path) {
    if (typeof path !== "string" || path.length === 0) return path;
    const resolved = win32.resolve(path);
    if (resolved.length <= 2) return path;
    if (resolved.startsWith("\\\\")) {
      const third = resolved[2];
      if (third !== "?" && third !== ".") return `\\\\?\\UNC\\${resolved.slice(2)}`;
    } else if (isLetter(resolved.charCodeAt(0)) && resolved.charCodeAt(1) === COLON && resolved.charCodeAt(2) === BACKSLASH) {
      return `\\\\?\\${resolved}`;
    }
    return resolved;
  },

  dirname(path) {
    validateString(path, "path");
    if (path.length === 0) return ".";
    if (path.length === 1) return isWindowsSeparator(path.charCodeAt(0)) ? path : ".";
    const root = windowsRoot(path);
    if (root.share && root.whole) return path;
    // The separator behind a share belongs to its root.
    const start = root.share ? root.length + 1 : root.length;
    const [begin] = lastPart(path, start, isWindowsSeparator);
    if (begin > start) return path.slice(0, begin - 1);
    return start > 0 ? path.slice(0, start) : ".";
  },

  basename(path, suffix) {
    const drive = (text) => text.length >= 2 && isLetter(text.charCodeAt(0)) && text.charCodeAt(1) === COLON ? 2 : 0;
    return baseName(path, suffix, drive, isWindowsSeparator);
  },

  extname(path) {
    validateString(path, "path");
    const start = path.length >= 2 && isLetter(path.charCodeAt(0)) && path.charCodeAt(1) === COLON ? 2 : 0;
    const [begin, end] = lastPart(path, start, isWindowsSeparator);
    const base = path.slice(begin, end);
    const dot = dotOf(base);
    return dot < 0 ? "" : base.slice(dot);
  },

  format(object) {
    return joined("\\", object);
  },

  parse(path) {
    validateString(path, "path");
    const result = { root: "", dir: "", base: "", ext: "", name: "" };
    if (path.length === 0) return result;
    const root = windowsRoot(path);
    let { length } = root;
    // The separator behind a share belongs to its root.
    if (root.share && length < path.length) length++;
    result.root = path.slice(0, length);
    const [begin, end] = lastPart(path, length, isWindowsSeparator);
    result.base = path.slice(begin, end);
    const dot = dotOf(result.base);
    result.ext = dot < 0 ? "" : result.base.slice(dot);
    result.name = dot < 0 ? result.base : result.base.slice(0, dot);
    result.dir = begin > length ? path.slice(0, begin - 1) : result.root;
    return result;
  },

  sep: "\\",
  delimiter: ";",
  win32: null,
  posix: null,
};

// A glob as a regular expression: *, **, ?, [...], {a,b}.
function globPattern(glob, separator) {
  const any = separator === "/" ? "[^/]" : "[^\\\\/]";
  const sep = separator === "/" ? "/" : "[\\\\/]";
  let source = "";
  let braces = 0;
  for (let i = 0; i < glob.length; i++) {
    const char = glob[i];
    if (char === "*" && glob[i + 1] === "*") {
      const atStart = i === 0 || glob[i - 1] === "/";
      let next = i + 2;
      if (atStart && (glob[next] === "/" || next === glob.length)) {
        // Whole parts, none included, and none that begin with a dot.
        if (i === 0) source += `${sep}?`;
        source += next === glob.length ? `(?:(?!\\.)${any}*(?:${sep}(?!\\.)${any}*)*)` : `(?:(?!\\.)${any}+${sep})*`;
        if (glob[next] === "/") next++;
      } else source += `${any}*`;
      i = next - 1;
    } else if (char === "*") {
      const hidden = i === 0 || glob[i - 1] === "/" ? "(?!\\.)" : "";
      const alone = hidden !== "" && (i + 1 === glob.length || glob[i + 1] === "/");
      source += `${hidden}${any}${alone ? "+" : "*"}`;
    } else if (char === "?") source += any;
    else if (char === "[") {
      const end = glob.indexOf("]", i + 2);
      if (end < 0) source += "\\[";
      else {
        const set = glob.slice(i + 1, end).replace(/^!/, "^").replaceAll("\\", "\\\\");
        source += `[${set}]`;
        i = end;
      }
    } else if (char === "{") {
      braces++;
      source += "(?:";
    } else if (char === "}" && braces > 0) {
      braces--;
      source += ")";
    } else if (char === "," && braces > 0) source += "|";
    else if (char === "/" || (char === "\\" && separator === "\\")) source += sep;
    else if (char === "\\") source += glob[++i] === undefined ? "\\\\" : glob[i].replace(/[^\w]/, "\\$&");
    else source += char.replace(/[.+^$()|\\{}]/, "\\$&");
  }
  return new RegExp(`^${source}$`, separator === "\\" ? "iu" : "u");
}

let warnedOfGlob = false;

function matchesGlob(separator, path, pattern) {
  if (!warnedOfGlob) {
    warnedOfGlob = true;
    require("internal/host_process").emitWarning("glob is an experimental feature and might change at any time", "ExperimentalWarning");
  }
  validateString(path, "path");
  validateString(pattern, "pattern");
  return globPattern(pattern, separator).test(path);
}

for (const flavor of [posix, win32]) {
  flavor.matchesGlob = { matchesGlob: (path, pattern) => matchesGlob(flavor.sep, path, pattern) }.matchesGlob;
  flavor.win32 = win32;
  flavor.posix = posix;
  flavor._makeLong = flavor.toNamespacedPath;
}

module.exports = { posix, win32 };
