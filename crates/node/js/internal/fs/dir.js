// Directories one entry after the other (fs.Dir), patterns of names (glob), and what both need.

const { posix } = require("path");
const sync = require("internal/fs/sync");
const { find, pathOf, failure } = require("internal/fs/tree");
const { S_IFDIR } = require("internal/fs/constants");
const { nextTick } = require("internal/host_process");
const { codes: { ERR_DIR_CLOSED, ERR_INVALID_ARG_TYPE, ERR_MISSING_ARGS } } = require("internal/errors");

const KEY = Symbol("opened");

// What is read is what stood there when it was opened.
class Dir {
  #path;
  #entries;
  #at = 0;

  constructor(key, path, entries) {
    if (key !== KEY) throw new ERR_MISSING_ARGS("handle");
    this.#path = path;
    this.#entries = entries;
  }

  get path() {
    return this.#path;
  }

  #open() {
    if (this.#entries === null) throw new ERR_DIR_CLOSED();
  }

  readSync() {
    this.#open();
    return this.#entries[this.#at++] ?? null;
  }

  closeSync() {
    this.#open();
    this.#entries = null;
  }

  read(callback = undefined) {
    return settle(callback, () => this.readSync());
  }

  close(callback = undefined) {
    return settle(callback, () => this.closeSync());
  }

  async *entries() {
    try {
      for (let entry; (entry = this.readSync()) !== null;) yield entry;
    } finally {
      this.closeSync();
    }
  }

  async [Symbol.asyncDispose]() {
    if (this.#entries !== null) this.closeSync();
  }

  [Symbol.dispose]() {
    if (this.#entries !== null) this.closeSync();
  }
}
Object.defineProperty(Dir.prototype, Symbol.asyncIterator, {
  value: Dir.prototype.entries,
  writable: true,
  configurable: true,
});

// By callback if there is one, else by promise.
function settle(callback, run) {
  if (callback === undefined) return (async () => run())();
  if (typeof callback !== "function") throw new ERR_INVALID_ARG_TYPE("callback", "function", callback);
  let value;
  try {
    value = run();
  } catch (error) {
    nextTick(callback, error);
    return undefined;
  }
  if (value === undefined) nextTick(callback, null);
  else nextTick(callback, null, value);
  return undefined;
}

function opendirSync(path, options = undefined) {
  const { node } = find(path, "opendir");
  if (node.kind !== S_IFDIR) throw failure("ENOTDIR", "opendir", pathOf(path));
  const recursive = options?.recursive ?? false;
  return new Dir(KEY, pathOf(path), sync.readdirSync(path, { withFileTypes: true, recursive }));
}

// Names below a directory that a pattern names, as path.matchesGlob reads it. Relative patterns give relative names.
function globSync(patterns, options = undefined) {
  const all = Array.isArray(patterns) ? patterns : [patterns];
  for (const pattern of all) {
    if (typeof pattern !== "string") throw new ERR_INVALID_ARG_TYPE("patterns", ["string", "string[]"], pattern);
  }
  const cwd = posix.resolve("/bundle", pathOf(options?.cwd ?? "."));
  const { exclude } = options ?? {};
  const excluded = typeof exclude === "function"
    ? (entry) => exclude(options?.withFileTypes ? entry.dirent : entry.name)
    : ({ name }) => (exclude ?? []).some((pattern) => posix.matchesGlob(name, pattern));
  const found = new Map();
  for (const pattern of all) {
    const base = posix.isAbsolute(pattern) ? "/" : cwd;
    const visit = (directory, prefix) => {
      for (const dirent of sync.readdirSync(directory, { withFileTypes: true })) {
        const name = `${prefix}${dirent.name}`;
        if (excluded({ name, dirent })) continue;
        if (posix.matchesGlob(name, pattern)) found.set(name, dirent);
        if (dirent.isDirectory()) visit(posix.join(directory, dirent.name), `${name}/`);
      }
    };
    if (sync.existsSync(base)) visit(base, base === "/" ? "/" : "");
  }
  return options?.withFileTypes ? [...found.values()] : [...found.keys()];
}

module.exports = { Dir, globSync, opendirSync };
