// exports: ReadStream, WriteStream, isatty
//
// node:tty: no descriptor is a terminal.

const net = require("net");
const { codes: { ERR_INVALID_FD } } = require("internal/errors");

function ReadStream(fd, options) {
  if (!new.target) return new ReadStream(fd, options);
  if (fd >> 0 !== fd || fd < 0) throw new ERR_INVALID_FD(fd);
  net.Socket.call(this, options);
  this.fd = fd;
  this.isRaw = false;
  this.isTTY = false;
}
Object.setPrototypeOf(ReadStream.prototype, net.Socket.prototype);
Object.setPrototypeOf(ReadStream, net.Socket);
ReadStream.prototype.setRawMode = function setRawMode() {
  return this;
};

function WriteStream(fd) {
  if (!new.target) return new WriteStream(fd);
  if (fd >> 0 !== fd || fd < 0) throw new ERR_INVALID_FD(fd);
  net.Socket.call(this);
  this.fd = fd;
  this.isTTY = false;
  this.columns = 0;
  this.rows = 0;
}
Object.setPrototypeOf(WriteStream.prototype, net.Socket.prototype);
Object.setPrototypeOf(WriteStream, net.Socket);
Object.assign(WriteStream.prototype, {
  clearLine: () => false,
  clearScreenDown: () => false,
  cursorTo: () => false,
  getColorDepth: () => 1,
  getWindowSize() {
    return [this.columns, this.rows];
  },
  hasColors: () => false,
  moveCursor: () => false,
});

module.exports = { ReadStream, WriteStream, isatty: () => false };
