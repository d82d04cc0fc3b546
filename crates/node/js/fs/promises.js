// exports: FileHandle, access, appendFile, chmod, chown, constants, copyFile, cp, glob, lchmod, lchown, link, lstat
// exports: lutimes, mkdir, mkdtemp, open, opendir, readFile, readdir, readlink, realpath, rename, rm, rmdir, stat
// exports: statfs, symlink, truncate, unlink, utimes, watch, writeFile
//
// node:fs/promises over the file system in memory.

const EventEmitter = require("events");
const { Buffer } = require("buffer");
const sync = require("internal/fs/sync");
const { globSync, opendirSync } = require("internal/fs/dir");
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

  async chmod(mode) {
    sync.fchmodSync(this.#fd, mode);
  }

  async chown(uid, gid) {
    sync.fchownSync(this.#fd, uid, gid);
  }

  async utimes(atime, mtime) {
    sync.futimesSync(this.#fd, atime, mtime);
  }

  async readv(buffers, position) {
    return { bytesRead: sync.readvSync(this.#fd, buffers, position), buffers };
  }

  async writev(buffers, position) {
    return { bytesWritten: sync.writevSync(this.#fd, buffers, position), buffers };
  }

  // The stream closes the file with itself, unless it is told not to.
  #follow(stream) {
    stream.once("close", () => {
      if (stream.autoClose === false || this.#fd === -1) return;
      this.#fd = -1;
      this.emit("close");
    });
    return stream;
  }

  createReadStream(options) {
    return this.#follow(require("fs").createReadStream("", { ...options, fd: this.#fd }));
  }

  createWriteStream(options) {
    return this.#follow(require("fs").createWriteStream("", { ...options, fd: this.#fd }));
  }

  readLines(options) {
    return linesOf(this.createReadStream(options));
  }

  readableWebStream(options) {
    const handle = this;
    return new ReadableStream({
      type: "bytes",
      autoAllocateChunkSize: 16384,
      async pull(controller) {
        const { view } = controller.byobRequest;
        const { bytesRead } = await handle.read(view, 0, view.byteLength, null);
        if (bytesRead === 0) {
          controller.close();
          if (options?.autoClose) await handle.close();
        }
        controller.byobRequest.respond(bytesRead);
      },
    });
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

// Line by line, without their ends.
async function* linesOf(stream) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    rest += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r?\n/);
    rest = lines.pop();
    yield* lines;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}

module.exports = { FileHandle, constants: require("internal/fs/constants") };
for (const name of ["access", "appendFile", "chmod", "chown", "copyFile", "cp", "lchmod", "lchown", "link", "lstat", "lutimes", "mkdir", "mkdtemp", "readFile", "readdir", "readlink", "realpath", "rename", "rm", "rmdir", "stat", "statfs", "symlink", "truncate", "unlink", "utimes", "writeFile"]) module.exports[name] = promised(name);
module.exports.open = async (path, flags, mode) => new FileHandle(sync.openSync(path, flags, mode));
module.exports.watch = unavailable("fs.watch");
module.exports.opendir = async (path, options) => opendirSync(path, options);
module.exports.glob = async function* glob(patterns, options) {
  yield* globSync(patterns, options);
};
