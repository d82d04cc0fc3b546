// exports: FileHandle, access, appendFile, chmod, chown, constants, copyFile, cp, glob, lchmod, lchown, link, lstat
// exports: lutimes, mkdir, mkdtemp, open, opendir, readFile, readdir, readlink, realpath, rename, rm, rmdir, stat
// exports: statfs, symlink, truncate, unlink, utimes, watch, writeFile
//
// node:fs/promises over the file system in memory.

const EventEmitter = require("events");
const { Buffer } = require("buffer");
const sync = require("internal/fs/sync");
const { unavailable } = require("internal/unavailable");

const promised = (name) => ({ [name]: async (...args) => sync[`${name}Sync`](...args) })[name];

class FileHandle extends EventEmitter {
  #fd;

  constructor(fd) {
    super();
    this.#fd = fd;
  }

  get fd() {
    return this.#fd;
  }

  async appendFile(data, options) {
    return sync.appendFileSync(this.#fd, data, options);
  }

  async read(buffer = Buffer.alloc(16384), offset, length, position) {
    if (buffer && !ArrayBuffer.isView(buffer)) ({ buffer = Buffer.alloc(16384), offset, length, position } = buffer);
    return { bytesRead: sync.readSync(this.#fd, buffer, offset, length, position), buffer };
  }

  async readFile(options) {
    return sync.readFileSync(this.#fd, options);
  }

  async stat(options) {
    return sync.fstatSync(this.#fd, options);
  }

  async truncate(length) {
    return sync.ftruncateSync(this.#fd, length);
  }

  async write(buffer, ...args) {
    return { bytesWritten: sync.writeSync(this.#fd, buffer, ...args), buffer };
  }

  async writeFile(data, options) {
    return sync.writeFileSync(this.#fd, data, options);
  }

  async sync() {
    sync.fsyncSync(this.#fd);
  }

  async datasync() {
    sync.fsyncSync(this.#fd);
  }

  async close() {
    if (this.#fd === -1) return;
    sync.closeSync(this.#fd);
    this.#fd = -1;
    this.emit("close");
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}

module.exports = { FileHandle, constants: require("internal/fs/constants") };
for (const name of ["access", "appendFile", "copyFile", "cp", "lstat", "mkdir", "mkdtemp", "readFile", "readdir", "readlink", "realpath", "rename", "rm", "rmdir", "stat", "symlink", "truncate", "unlink", "utimes", "writeFile"]) module.exports[name] = promised(name);
module.exports.open = async (path, flags, mode) => new FileHandle(sync.openSync(path, flags, mode));
module.exports.watch = unavailable("fs.watch");
// What a file system in memory does not have.
for (const name of ["chmod", "chown", "glob", "lchmod", "lchown", "link", "lutimes", "opendir", "statfs"]) {
  const refuse = unavailable(`fs.promises.${name}`);
  module.exports[name] = { [name]: async () => refuse() }[name];
}
