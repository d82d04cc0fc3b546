// The file system of a worker: /bundle (its modules, read-only), /tmp (writable, in memory, each event's own and gone with it)
// and /dev/null, /dev/zero, /dev/random, /dev/full. All operations are here, synchronous; the callback and promise forms call them.
// A failure is an Error with code, errno, syscall and path, as Node's.

const { Buffer } = require("buffer");
const { posix } = require("path");
const constants = require("internal/fs/constants");
const { uvException, codes: { ERR_INVALID_ARG_TYPE } } = require("internal/errors");
const { systemErrorMap } = require("internal/system_errors");

// Bytes that all files under one /tmp may hold together, where each entry counts as some; what is more fails with ENOSPC.
const CAPACITY = 64 * 1024 * 1024;
const ENTRY_BYTES = 1024;
// Descriptors that are open at a time, of all events; one more fails with EMFILE.
const OPEN_MAX = 4096;
// Characters of a path and of a name in it, as Linux has them; longer ones fail with ENAMETOOLONG.
const PATH_MAX = 4096;
const NAME_MAX = 255;
// Links are followed that often.
const MAX_LINKS = 40;

const { S_IFMT, S_IFDIR, S_IFREG, S_IFCHR, S_IFLNK } = constants;

let numbers;
function failure(code, syscall, path) {
  if (numbers === undefined) {
    numbers = new Map();
    for (const [errno, [name, message]] of systemErrorMap()) numbers.set(name, [errno, message]);
  }
  const [errno, message] = numbers.get(code);
  return uvException({ errno, syscall, code, message, path });
}

let lastInode = 0;

// What one /tmp holds, bytes.
class Space {
  used = 0;

  take(bytes, syscall, path) {
    if (bytes > 0 && this.used + bytes > CAPACITY) throw failure("ENOSPC", syscall, path);
    this.used += bytes;
  }
}

class Node {
  // space: of the /tmp that it stands in; null for what is there from the start.
  constructor(kind, mode, writable, space = null) {
    this.space = space;
    this.kind = kind;
    this.mode = kind | mode;
    this.writable = writable;
    // Names that it has.
    this.links = 1;
    this.inode = ++lastInode;
    this.mtime = this.atime = this.ctime = this.birthtime = Date.now();
    if (kind === S_IFDIR) this.entries = new Map();
    else if (kind === S_IFREG) [this.buffer, this.size] = [Buffer.alloc(0), 0];
  }

  get length() {
    return this.kind === S_IFREG ? this.bytes().length : 0;
  }

  bytes() {
    if (this.module !== undefined) {
      this.buffer = Buffer.from(internal.ops.op_module_bytes(this.module));
      this.size = this.buffer.length;
      this.module = undefined;
    }
    return this.buffer.subarray(0, this.size);
  }

  resize(size, path, syscall) {
    this.space.take(size - this.size, syscall, path);
    if (size > this.buffer.length) {
      const grown = Buffer.alloc(Math.max(size, Math.min(this.buffer.length * 2, CAPACITY)));
      this.bytes().copy(grown);
      this.buffer = grown;
    } else if (size < this.size) {
      this.buffer.fill(0, size, this.size);
    }
    this.size = size;
    this.touch();
  }

  touch() {
    this.mtime = this.ctime = Date.now();
  }
}

const root = new Node(S_IFDIR, 0o555, false);
for (const [name, writable] of [["bundle", false], ["tmp", true], ["dev", false]]) {
  root.entries.set(name, new Node(S_IFDIR, writable ? 0o777 : 0o555, writable));
}
// The worker's modules by name, their content when it is first asked for.
for (const module of internal.ops.op_module_names()) {
  const parts = module.split("/").filter((part) => part !== "" && part !== "." && part !== "..");
  const name = parts.pop();
  let directory = root.entries.get("bundle");
  for (const part of parts) {
    let next = directory.entries.get(part);
    if (next === undefined) {
      next = new Node(S_IFDIR, 0o555, false);
      directory.entries.set(part, next);
    }
    directory = next;
    // One module has the name of another's directory: the first counts.
    if (directory.kind !== S_IFDIR) break;
  }
  if (name === undefined || directory.kind !== S_IFDIR || directory.entries.has(name)) continue;
  const node = new Node(S_IFREG, 0o444, false);
  node.module = module;
  directory.entries.set(name, node);
}
// The /tmp of each event, and of what runs for none (the modules' top level).
const ofEvents = new WeakMap();
const ofNone = {};

function temporary() {
  const owner = internal.context.currentEvent() ?? ofNone;
  let directory = ofEvents.get(owner);
  if (directory === undefined) {
    directory = new Node(S_IFDIR, 0o777, true, new Space());
    ofEvents.set(owner, directory);
  }
  return directory;
}

// Puts a new entry where `at` found none.
function enter(at, kind, mode, syscall, path) {
  mayChange(at, syscall, path);
  at.parent.space.take(ENTRY_BYTES, syscall, pathOf(path));
  const node = new Node(kind, mode, true, at.parent.space);
  at.parent.entries.set(at.name, node);
  at.parent.touch();
  return node;
}

for (const name of ["null", "zero", "full", "random"]) {
  const device = new Node(S_IFCHR, 0o666, true);
  device.device = name;
  root.entries.get("dev").entries.set(name, device);
}

function pathOf(value, name = "path") {
  if (value instanceof URL) value = require("url").fileURLToPath(value);
  else if (value instanceof Uint8Array) value = Buffer.from(value).toString();
  if (typeof value !== "string" ) throw new ERR_INVALID_ARG_TYPE(name, ["string", "Buffer", "URL"], value);
  if (value.includes("\0")) throw new ERR_INVALID_ARG_TYPE(name, "string without null bytes", value);
  return value;
}

// The names of a path.
function partsOf(path, syscall) {
  const whole = posix.resolve("/bundle", path);
  const parts = whole.length > PATH_MAX ? null : whole.split("/").filter((part) => part !== "");
  if (parts === null || parts.some((part) => part.length > NAME_MAX)) throw failure("ENAMETOOLONG", syscall, path);
  return parts;
}

// { parent, name, node }: node is undefined if nothing has that name in parent.
function walk(given, syscall, follow = true, depth = 0) {
  const path = pathOf(given);
  if (path === "") throw failure("ENOENT", syscall, path);
  if (depth > MAX_LINKS) throw failure("ELOOP", syscall, path);
  const parts = partsOf(path, syscall);
  let at = { parent: null, name: "", node: root };
  let base = "";
  for (let index = 0; index < parts.length; index++) {
    const { node } = at;
    if (node === undefined) throw failure("ENOENT", syscall, path);
    if (node.kind !== S_IFDIR) throw failure("ENOTDIR", syscall, path);
    const child = node === root && parts[index] === "tmp" ? temporary() : node.entries.get(parts[index]);
    if (child?.kind === S_IFLNK && (follow || index < parts.length - 1)) {
      const target = posix.resolve(base || "/", child.target);
      return walk(posix.join(target, ...parts.slice(index + 1)), syscall, follow, depth + 1);
    }
    base += `/${parts[index]}`;
    at = { parent: node, name: parts[index], node: child };
  }
  return { ...at, path: base || "/" };
}

function find(path, syscall, follow = true) {
  const at = walk(path, syscall, follow);
  if (at.node === undefined) throw failure("ENOENT", syscall, pathOf(path));
  return at;
}

function mayChange(at, syscall, path) {
  if (at.parent === null || !at.parent.writable) throw failure("EPERM", syscall, pathOf(path));
}

class Stats {
  constructor(node, bigint = false) {
    const number = bigint ? BigInt : Number;
    const facts = { dev: 0, ino: node.inode, mode: node.mode, nlink: node.links, uid: 0, gid: 0, rdev: 0, size: node.length, blksize: 4096, blocks: Math.ceil(node.length / 512) };
    for (const [name, value] of Object.entries(facts)) this[name] = number(value);
    for (const name of ["atime", "mtime", "ctime", "birthtime"]) {
      this[`${name}Ms`] = number(node[name]);
      if (bigint) this[`${name}Ns`] = BigInt(node[name]) * 1000000n;
      this[name] = new Date(node[name]);
    }
  }
}
class Dirent {
  constructor(name, parentPath, kind) {
    Object.assign(this, { name, parentPath, path: parentPath });
    Object.defineProperty(this, "mode", { value: kind });
  }
}
const KINDS = { Directory: S_IFDIR, File: S_IFREG, BlockDevice: constants.S_IFBLK, CharacterDevice: S_IFCHR, SymbolicLink: S_IFLNK, FIFO: constants.S_IFIFO, Socket: constants.S_IFSOCK };
for (const [name, kind] of Object.entries(KINDS)) {
  for (const Class of [Stats, Dirent]) {
    const method = { [`is${name}`]() { return (Number(this.mode) & S_IFMT) === kind; } }[`is${name}`];
    Object.defineProperty(Class.prototype, `is${name}`, { value: method, writable: true, configurable: true });
  }
}

// ---- descriptors

// fd -> { node, path, at, flags }. 0 to 2 stand for the standard streams, which a worker does not have.
const open = new Map();
let nextFd = 3;
const FLAGS = { r: 0, "r+": 2, rs: 0, "rs+": 2, w: 1 | 64 | 512, wx: 1 | 64 | 512 | 128, "w+": 2 | 64 | 512, "wx+": 2 | 64 | 512 | 128, a: 1 | 64 | 1024, ax: 1 | 64 | 1024 | 128, "a+": 2 | 64 | 1024, "ax+": 2 | 64 | 1024 | 128 };

function flagsOf(flags) {
  if (typeof flags === "number") return flags;
  const number = FLAGS[flags ?? "r"];
  if (number === undefined) throw new (require("internal/errors").codes.ERR_INVALID_ARG_VALUE)("flags", flags);
  return number;
}

function file(fd, syscall) {
  if (typeof fd !== "number") throw new ERR_INVALID_ARG_TYPE("fd", "number", fd);
  const found = open.get(fd);
  if (found === undefined) throw failure("EBADF", syscall);
  return found;
}

function openSync(path, flags = "r", mode = 0o666) {
  const bits = flagsOf(flags);
  const at = walk(path, "open");
  let { node } = at;
  if (node === undefined) {
    if (!(bits & constants.O_CREAT)) throw failure("ENOENT", "open", pathOf(path));
    node = enter(at, S_IFREG, mode & 0o777, "open", path);
  } else {
    if (bits & constants.O_CREAT && bits & constants.O_EXCL) throw failure("EEXIST", "open", pathOf(path));
    if (bits & 3 && node.kind === S_IFDIR) throw failure("EISDIR", "open", pathOf(path));
    if (bits & 3 && !node.writable) throw failure("EPERM", "open", pathOf(path));
    if (bits & constants.O_TRUNC && node.kind === S_IFREG) node.resize(0, path, "open");
  }
  if (open.size >= OPEN_MAX) throw failure("EMFILE", "open", pathOf(path));
  const fd = nextFd++;
  open.set(fd, { node, path: at.path, at: 0, flags: bits });
  return fd;
}

function closeSync(fd) {
  file(fd, "close");
  open.delete(fd);
}

// How many bytes of target were filled.
function readAt(handle, target, position) {
  const { node } = handle;
  if (node.kind === S_IFDIR) throw failure("EISDIR", "read");
  if ((handle.flags & 3) === 1) throw failure("EBADF", "read");
  if (node.kind === S_IFCHR) {
    if (node.device === "null") return 0;
    if (node.device === "random") require("crypto").randomFillSync(target);
    else target.fill(0);
    return target.length;
  }
  const from = position ?? handle.at;
  const count = Math.max(0, Math.min(target.length, node.size - from));
  node.buffer.copy(target, 0, from, from + count);
  if (position === null) handle.at += count;
  return count;
}

function writeAt(handle, bytes, position) {
  const { node } = handle;
  if (!(handle.flags & 3)) throw failure("EBADF", "write");
  if (node.kind === S_IFCHR) {
    if (node.device === "full") throw failure("ENOSPC", "write");
    return bytes.length;
  }
  const from = handle.flags & constants.O_APPEND ? node.size : position ?? handle.at;
  if (from + bytes.length > node.size) node.resize(from + bytes.length, handle.path, "write");
  node.buffer.set(bytes, from);
  node.touch();
  if (position === null) handle.at = from + bytes.length;
  return bytes.length;
}

module.exports = { CAPACITY, Dirent, ENTRY_BYTES, Stats, closeSync, enter, failure, file, find, flagsOf, mayChange, open, openSync, partsOf, pathOf, readAt, walk, writeAt };
