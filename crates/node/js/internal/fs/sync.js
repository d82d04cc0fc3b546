// The synchronous functions of node:fs; node:fs and node:fs/promises have them with callbacks and promises.

const { Buffer } = require("buffer");
const { posix } = require("path");
const constants = require("internal/fs/constants");
const { codes: { ERR_FS_CP_EINVAL, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE } } = require("internal/errors");
const { validateInteger } = require("internal/validators");
const tree = require("internal/fs/tree");
const { CAPACITY, Dirent, ENTRY_BYTES, Stats, closeSync, enter, failure, file, find, mayChange, openSync, partsOf, pathOf, readAt, walk, writeAt } = tree;
const { S_IFDIR, S_IFREG, S_IFLNK } = constants;

const encodingOf = (options) => typeof options === "string" ? options : options?.encoding;
const encoded = (bytes, encoding) => encoding && encoding !== "buffer" ? bytes.toString(encoding) : bytes;
const named = (text, options) => encodingOf(options) === "buffer" ? Buffer.from(text) : text;

// What statfs() tells sizes in.
const BLOCK = 4096;

function listOf(buffers) {
  if (!Array.isArray(buffers) || !buffers.every((buffer) => ArrayBuffer.isView(buffer))) {
    throw new ERR_INVALID_ARG_TYPE("buffers", "ArrayBufferView[]", buffers);
  }
  return buffers;
}

function bytesOf(data, encoding) {
  if (typeof data === "string") return Buffer.from(data, encoding === "buffer" ? undefined : encoding);
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  throw new ERR_INVALID_ARG_TYPE("data", ["string", "Buffer", "TypedArray", "DataView"], data);
}

function modeOf(mode) {
  if (typeof mode === "string") {
    if (!/^[0-7]+$/.test(mode)) {
      throw new ERR_INVALID_ARG_VALUE("mode", mode, "must be a 32-bit unsigned integer or an octal string");
    }
    mode = Number.parseInt(mode, 8);
  }
  validateInteger(mode, "mode", 0, 0xffffffff);
  return mode & 0o7777;
}

// Rights are told and not asked for: all that a worker has written it may read and write.
function setMode(node, mode, syscall, path) {
  const bits = modeOf(mode);
  if (node.space === null) throw failure("EPERM", syscall, path);
  node.mode = node.kind | bits;
  node.ctime = Date.now();
}

// There is one owner, whoever is named.
function checkOwner(uid, gid) {
  validateInteger(uid, "uid", -1, 0xffffffff);
  validateInteger(gid, "gid", -1, 0xffffffff);
}

const milliseconds = (time) => time instanceof Date ? time.getTime() : Number(time) * 1000;

function setTimes(node, atime, mtime) {
  [node.atime, node.mtime] = [milliseconds(atime), milliseconds(mtime)];
}

// Runs with a descriptor, opened for it unless it is one.
function using(target, flags, mode, run) {
  if (typeof target === "number") return run(file(target, "read"));
  const fd = openSync(target, flags, mode);
  try {
    return run(file(fd, "read"));
  } finally {
    closeSync(fd);
  }
}

const sync = {
  accessSync(path, mode = 0) {
    const { node } = find(path, "access");
    if (mode & constants.W_OK && !node.writable) throw failure("EACCES", "access", pathOf(path));
  },
  appendFileSync(target, data, options = undefined) {
    sync.writeFileSync(target, data, { ...(typeof options === "string" ? { encoding: options } : options), flag: options?.flag ?? "a" });
  },
  closeSync,
  copyFileSync(from, to, mode = 0) {
    const bytes = sync.readFileSync(from);
    sync.writeFileSync(to, bytes, { flag: mode & constants.COPYFILE_EXCL ? "wx" : "w" });
  },
  cpSync(from, to, options = undefined) {
    const source = find(from, "cp", options?.dereference ?? false);
    if (source.node.kind === S_IFLNK) {
      if (sync.existsSync(to)) sync.unlinkSync(to);
      return sync.symlinkSync(source.node.target, to);
    }
    if (source.node.kind !== S_IFDIR) return sync.copyFileSync(from, to);
    if (!options?.recursive) throw failure("EISDIR", "cp", pathOf(from));
    const target = walk(to, "cp").path;
    if (`${target}/`.startsWith(`${source.path}/`)) {
      throw new ERR_FS_CP_EINVAL(`cannot copy ${source.path} to a subdirectory of self ${target}`);
    }
    sync.mkdirSync(to, { recursive: true });
    for (const name of sync.readdirSync(from)) sync.cpSync(posix.join(pathOf(from), name), posix.join(pathOf(to), name), options);
  },
  existsSync(path) {
    try {
      return walk(path, "access").node !== undefined;
    } catch {
      return false;
    }
  },
  fstatSync: (fd, options) => new Stats(file(fd, "fstat").node, options?.bigint),
  ftruncateSync(fd, length = 0) {
    const { node, path } = file(fd, "ftruncate");
    node.resize(Math.max(0, length), path, "ftruncate");
  },
  lstatSync: (path, options) => statOf(path, options, "lstat", false),
  mkdirSync(path, options = undefined) {
    partsOf(pathOf(path), "mkdir");
    const recursive = options?.recursive ?? false;
    const at = recursive && !sync.existsSync(posix.dirname(posix.resolve("/bundle", pathOf(path))))
      ? (sync.mkdirSync(posix.dirname(posix.resolve("/bundle", pathOf(path))), options), walk(path, "mkdir"))
      : walk(path, "mkdir");
    if (at.node !== undefined) {
      if (recursive && at.node.kind === S_IFDIR) return undefined;
      throw failure("EEXIST", "mkdir", pathOf(path));
    }
    enter(at, S_IFDIR, 0o777, "mkdir", path);
    return recursive ? at.path : undefined;
  },
  mkdtempSync(prefix, options = undefined) {
    const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const path = pathOf(prefix, "prefix") + Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => letters[byte % letters.length]).join("");
    sync.mkdirSync(path);
    return named(path, options);
  },
  openSync,
  readFileSync(target, options = undefined) {
    const bytes = using(target, options?.flag ?? "r", undefined, (handle) => {
      if (handle.node.kind === S_IFREG) {
        const rest = Buffer.from(handle.node.bytes().subarray(handle.at));
        if (typeof target === "number") handle.at = handle.node.size;
        return rest;
      }
      const none = Buffer.alloc(0);
      readAt(handle, none, null);
      return none;
    });
    return encoded(bytes, encodingOf(options));
  },
  readSync(fd, buffer, offset = 0, length = undefined, position = null) {
    if (typeof offset === "object" && offset !== null) ({ offset = 0, length, position = null } = offset);
    const view = bytesOf(buffer);
    const from = offset ?? 0;
    return readAt(file(fd, "read"), view.subarray(from, from + (length ?? view.length - from)), position === -1 || position === undefined ? null : position === null ? null : Number(position));
  },
  readdirSync(path, options = undefined) {
    const { node, path: full } = find(path, "scandir");
    if (node.kind !== S_IFDIR) throw failure("ENOTDIR", "scandir", pathOf(path));
    const found = [];
    const visit = (directory, folder, prefix) => {
      for (const [name, child] of [...directory.entries].sort(([a], [b]) => a < b ? -1 : 1)) {
        found.push(options?.withFileTypes ? new Dirent(named(name, options), folder, child.kind) : named(`${prefix}${name}`, options));
        if (options?.recursive && child.kind === S_IFDIR) visit(child, posix.join(folder, name), `${prefix}${name}/`);
      }
    };
    visit(node, full, "");
    return found;
  },
  readlinkSync(path, options = undefined) {
    const { node } = find(path, "readlink", false);
    if (node.kind !== S_IFLNK) throw failure("EINVAL", "readlink", pathOf(path));
    return named(node.target, options);
  },
  realpathSync: (path, options) => named(find(path, "realpath").path, options),
  renameSync(from, to) {
    const source = find(from, "rename", false);
    const target = walk(to, "rename", false);
    mayChange(source, "rename", from);
    mayChange(target, "rename", to);
    if (target.node === source.node) return;
    if (target.path.startsWith(`${source.path}/`)) throw failure("EINVAL", "rename", pathOf(from));
    if (target.node?.kind === S_IFDIR && source.node.kind !== S_IFDIR) throw failure("EISDIR", "rename", pathOf(from));
    if (target.node !== undefined && target.node.kind !== S_IFDIR && source.node.kind === S_IFDIR) throw failure("ENOTDIR", "rename", pathOf(from));
    if (target.node?.entries?.size > 0) throw failure("ENOTEMPTY", "rename", pathOf(from));
    if (target.node !== undefined) free(target);
    source.parent.entries.delete(source.name);
    target.parent.entries.set(target.name, source.node);
  },
  rmSync(path, options = undefined) {
    const at = walk(path, "rm", false);
    if (at.node === undefined) {
      if (options?.force) return;
      throw failure("ENOENT", "rm", pathOf(path));
    }
    if (at.node.kind === S_IFDIR && !options?.recursive) throw failure("EISDIR", "rm", pathOf(path));
    mayChange(at, "rm", path);
    free(at);
  },
  rmdirSync(path) {
    const at = find(path, "rmdir", false);
    if (at.node.kind !== S_IFDIR) throw failure("ENOTDIR", "rmdir", pathOf(path));
    if (at.node.entries.size > 0) throw failure("ENOTEMPTY", "rmdir", pathOf(path));
    mayChange(at, "rmdir", path);
    free(at);
  },
  statSync: (path, options) => statOf(path, options, "stat", true),
  symlinkSync(target, path) {
    const at = walk(path, "symlink", false);
    if (at.node !== undefined) throw failure("EEXIST", "symlink", pathOf(path));
    const aim = pathOf(target, "target");
    enter(at, S_IFLNK, 0o777, "symlink", path).target = aim;
  },
  truncateSync(path, length = 0) {
    using(path, "r+", undefined, (handle) => handle.node.resize(Math.max(0, length), path, "truncate"));
  },
  unlinkSync(path) {
    const at = find(path, "unlink", false);
    if (at.node.kind === S_IFDIR) throw failure("EISDIR", "unlink", pathOf(path));
    mayChange(at, "unlink", path);
    free(at);
  },
  utimesSync(path, atime, mtime) {
    setTimes(find(path, "utime").node, atime, mtime);
  },
  futimesSync(fd, atime, mtime) {
    setTimes(file(fd, "futime").node, atime, mtime);
  },
  lutimesSync(path, atime, mtime) {
    setTimes(find(path, "lutime", false).node, atime, mtime);
  },
  chmodSync(path, mode) {
    modeOf(mode);
    setMode(find(path, "chmod").node, mode, "chmod", pathOf(path));
  },
  fchmodSync(fd, mode) {
    modeOf(mode);
    const { node, path } = file(fd, "fchmod");
    setMode(node, mode, "fchmod", path);
  },
  lchmodSync(path, mode) {
    modeOf(mode);
    setMode(find(path, "lchmod", false).node, mode, "lchmod", pathOf(path));
  },
  chownSync(path, uid, gid) {
    checkOwner(uid, gid);
    find(path, "chown");
  },
  fchownSync(fd, uid, gid) {
    checkOwner(uid, gid);
    file(fd, "fchown");
  },
  lchownSync(path, uid, gid) {
    checkOwner(uid, gid);
    find(path, "lchown", false);
  },
  linkSync(existing, path) {
    const { node } = find(existing, "link", false);
    if (node.kind === S_IFDIR) throw failure("EPERM", "link", pathOf(existing));
    const at = walk(path, "link", false);
    if (at.node !== undefined) throw failure("EEXIST", "link", pathOf(path));
    mayChange(at, "link", path);
    if (node.space !== at.parent.space) throw failure("EXDEV", "link", pathOf(existing));
    node.space.take(ENTRY_BYTES, "link", pathOf(path));
    at.parent.entries.set(at.name, node);
    at.parent.touch();
    node.links++;
  },
  statfsSync(path, options = undefined) {
    const { node } = find(path, "statfs");
    const number = options?.bigint ? BigInt : Number;
    // What is not written to has no room.
    const blocks = node.space === null ? 0 : CAPACITY / BLOCK;
    const free = node.space === null ? 0 : Math.floor((CAPACITY - node.space.used) / BLOCK);
    const files = node.space === null ? 0 : CAPACITY / ENTRY_BYTES;
    const facts = { type: 0, bsize: BLOCK, blocks, bfree: free, bavail: free, files, ffree: Math.floor(free * BLOCK / ENTRY_BYTES) };
    return Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, number(value)]));
  },
  readvSync(fd, buffers, position = null) {
    let total = 0;
    for (const buffer of listOf(buffers)) {
      const count = sync.readSync(fd, buffer, 0, buffer.byteLength, typeof position === "number" ? position + total : null);
      total += count;
      if (count < buffer.byteLength) break;
    }
    return total;
  },
  writevSync(fd, buffers, position = null) {
    let total = 0;
    for (const buffer of listOf(buffers)) {
      total += sync.writeSync(fd, buffer, 0, buffer.byteLength, typeof position === "number" ? position + total : null);
    }
    return total;
  },
  writeFileSync(target, data, options = undefined) {
    const bytes = bytesOf(data, encodingOf(options));
    using(target, options?.flag ?? "w", options?.mode, (handle) => writeAt(handle, bytes, null));
  },
  writeSync(fd, data, offset = undefined, length = undefined, position = null) {
    if (typeof data === "string") return writeAt(file(fd, "write"), bytesOf(data, length), typeof offset === "number" ? offset : null);
    if (typeof offset === "object" && offset !== null) ({ offset = 0, length, position = null } = offset);
    const view = bytesOf(data);
    const from = offset ?? 0;
    return writeAt(file(fd, "write"), view.subarray(from, from + (length ?? view.length - from)), position ?? null);
  },
  fsyncSync: (fd) => void file(fd, "fsync"),
  fdatasyncSync: (fd) => void file(fd, "fdatasync"),
};

function statOf(path, options, syscall, follow) {
  const { node } = walk(path, syscall, follow);
  if (node !== undefined) return new Stats(node, options?.bigint);
  if (options?.throwIfNoEntry === false) return undefined;
  throw failure("ENOENT", syscall, pathOf(path));
}

// Takes an entry out, and gives its bytes back.
function free({ parent, name, node }) {
  parent.entries.delete(name);
  const release = (each) => {
    if (--each.links > 0) {
      each.space.take(-ENTRY_BYTES);
      return;
    }
    each.space.take(-ENTRY_BYTES);
    if (each.kind === S_IFREG) each.resize(0, name, "unlink");
    else if (each.kind === S_IFDIR) each.entries.forEach(release);
  };
  const opened = [...tree.open.values()].some((handle) => handle.node === node);
  if (!opened) release(node);
}

module.exports = sync;
