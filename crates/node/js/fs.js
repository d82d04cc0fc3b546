// exports: Dir, Dirent, F_OK, FileReadStream, FileWriteStream, R_OK, ReadStream, Stats, W_OK, WriteStream, X_OK
// exports: access, accessSync, appendFile, appendFileSync, chmod, chmodSync, chown, chownSync, close, closeSync
// exports: constants, copyFile, copyFileSync, cp, cpSync, createReadStream, createWriteStream, exists, existsSync
// exports: fchmod, fchmodSync, fchown, fchownSync, fdatasync, fdatasyncSync, fstat, fstatSync, fsync, fsyncSync
// exports: ftruncate, ftruncateSync, futimes, futimesSync, glob, globSync, lchmod, lchmodSync, lchown, lchownSync
// exports: link, linkSync, lstat, lstatSync, lutimes, lutimesSync, mkdir, mkdirSync, mkdtemp, mkdtempSync, open
// exports: openAsBlob, openSync, opendir, opendirSync, promises, read, readFile, readFileSync, readSync, readdir
// exports: readdirSync, readlink, readlinkSync, readv, readvSync, realpath, realpathSync, rename, renameSync, rm
// exports: rmSync, rmdir, rmdirSync, stat, statSync, statfs, statfsSync, symlink, symlinkSync, truncate, truncateSync
// exports: unlink, unlinkSync, unwatchFile, utimes, utimesSync, watch, watchFile, write, writeFile, writeFileSync
// exports: writeSync, writev, writevSync
//
// node:fs over the file system in memory. Callbacks are called in a later turn.

const { Buffer } = require("buffer");
const { Readable, Writable } = require("stream");
const constants = require("internal/fs/constants");
const sync = require("internal/fs/sync");
const { Dirent, Stats, pathOf } = require("internal/fs/tree");
const { codes: { ERR_INVALID_ARG_TYPE } } = require("internal/errors");
const { Dir, globSync, opendirSync } = require("internal/fs/dir");
const { unavailable } = require("internal/unavailable");

const { nextTick } = require("internal/host_process");

function withCallback(name, extra, functions = sync) {
  return {
    [name](...args) {
      const callback = args.pop();
      if (typeof callback !== "function") throw new ERR_INVALID_ARG_TYPE("cb", "Function", callback);
      let value;
      try {
        value = functions[`${name}Sync`](...args);
      } catch (error) {
        // A wrong argument is told at once.
        if (error instanceof TypeError || error instanceof RangeError) throw error;
        nextTick(callback, error);
        return;
      }
      if (value === undefined) nextTick(callback, null);
      else nextTick(callback, null, value, ...(extra ? [args[1]] : []));
    },
  }[name];
}

function ReadStream(path, options) {
  if (!(this instanceof ReadStream)) return new ReadStream(path, options);
  options = typeof options === "string" ? { encoding: options } : options ?? {};
  this.fd = options.fd ?? null;
  this.path = this.fd === null ? pathOf(path) : path;
  this.flags = options.flags ?? "r";
  this.autoClose = options.autoClose ?? true;
  this.bytesRead = 0;
  this.start = options.start;
  this.end = options.end ?? Infinity;
  this.pos = options.start ?? null;
  Readable.call(this, { highWaterMark: options.highWaterMark ?? 65536, encoding: options.encoding, signal: options.signal });
}
Object.setPrototypeOf(ReadStream.prototype, Readable.prototype);
Object.setPrototypeOf(ReadStream, Readable);

// Opens in a later turn, so that listeners are there.
function opening(stream, callback) {
  if (typeof stream.fd === "number") return callback();
  try {
    stream.fd = sync.openSync(stream.path, stream.flags, stream.mode);
  } catch (error) {
    return nextTick(callback, error);
  }
  nextTick(() => {
    callback();
    stream.emit("open", stream.fd);
    stream.emit("ready");
  });
}
function closing(stream, error, callback) {
  if (typeof stream.fd === "number" && stream.autoClose) {
    try {
      sync.closeSync(stream.fd);
    } catch (closeError) {
      error ??= closeError;
    }
    stream.fd = null;
  }
  callback(error);
}

ReadStream.prototype._construct = function _construct(callback) {
  opening(this, callback);
};
ReadStream.prototype._read = function _read(size) {
  const left = this.end - (this.start ?? 0) + 1 - this.bytesRead;
  const buffer = Buffer.alloc(Math.max(0, Math.min(size, left)));
  let count;
  try {
    count = buffer.length === 0 ? 0 : sync.readSync(this.fd, buffer, 0, buffer.length, this.pos);
  } catch (error) {
    return this.destroy(error);
  }
  this.bytesRead += count;
  if (this.pos !== null) this.pos += count;
  this.push(count === 0 ? null : buffer.subarray(0, count));
};
ReadStream.prototype._destroy = function _destroy(error, callback) {
  closing(this, error, callback);
};

function WriteStream(path, options) {
  if (!(this instanceof WriteStream)) return new WriteStream(path, options);
  options = typeof options === "string" ? { encoding: options } : options ?? {};
  this.fd = options.fd ?? null;
  this.path = this.fd === null ? pathOf(path) : path;
  this.flags = options.flags ?? "w";
  this.mode = options.mode;
  this.autoClose = options.autoClose ?? true;
  this.bytesWritten = 0;
  this.pos = options.start ?? null;
  Writable.call(this, { highWaterMark: options.highWaterMark, signal: options.signal, defaultEncoding: options.encoding ?? "utf8" });
}
Object.setPrototypeOf(WriteStream.prototype, Writable.prototype);
Object.setPrototypeOf(WriteStream, Writable);
WriteStream.prototype._construct = ReadStream.prototype._construct;
WriteStream.prototype._destroy = ReadStream.prototype._destroy;
WriteStream.prototype._write = function _write(chunk, _encoding, callback) {
  try {
    const count = sync.writeSync(this.fd, chunk, 0, chunk.length, this.pos);
    this.bytesWritten += count;
    if (this.pos !== null) this.pos += count;
  } catch (error) {
    return callback(error);
  }
  callback();
};
WriteStream.prototype.destroySoon = Writable.prototype.end;
for (const Class of [ReadStream, WriteStream]) {
  Object.defineProperty(Class.prototype, "pending", {
    configurable: true,
    get() {
      return this.fd === null;
    },
  });
  Class.prototype.close = function close(callback) {
    if (callback) this.once("close", () => callback());
    this.destroy();
  };
}

const fs = {
  ...sync,
  Dirent,
  Dir,
  FileReadStream: ReadStream,
  FileWriteStream: WriteStream,
  ReadStream,
  Stats,
  WriteStream,
  constants,
  F_OK: constants.F_OK,
  R_OK: constants.R_OK,
  W_OK: constants.W_OK,
  X_OK: constants.X_OK,
  createReadStream: (path, options) => new ReadStream(path, options),
  createWriteStream: (path, options) => new WriteStream(path, options),
  exists(path, callback) {
    if (typeof callback !== "function") throw new ERR_INVALID_ARG_TYPE("cb", "Function", callback);
    nextTick(callback, sync.existsSync(path));
  },
};
for (const name of Object.keys(sync)) {
  const plain = name.slice(0, -"Sync".length);
  if (plain !== "exists") fs[plain] = withCallback(plain, ["read", "readv", "write", "writev"].includes(plain));
}
const ofDirectories = { globSync, opendirSync };
Object.assign(fs, ofDirectories);
for (const name of ["glob", "opendir"]) fs[name] = withCallback(name, false, ofDirectories);
fs.openAsBlob = async function openAsBlob(path, options = undefined) {
  return new Blob([sync.readFileSync(path)], { type: options?.type ?? "" });
};
fs.realpath.native = fs.realpath;
fs.realpathSync.native = fs.realpathSync;
// What a file system in memory does not have.
for (const name of ["unwatchFile", "watch", "watchFile"]) fs[name] = unavailable(`fs.${name}`);
Object.defineProperty(fs, "promises", { configurable: true, enumerable: true, get: () => require("fs/promises") });

module.exports = fs;
