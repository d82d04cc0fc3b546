// exports: BlockList, BoundSocket, Server, Socket, SocketAddress, Stream, _normalizeArgs, connect, createConnection
// exports: createServer, getDefaultAutoSelectFamily, getDefaultAutoSelectFamilyAttemptTimeout, isIP, isIPv4, isIPv6
// exports: setDefaultAutoSelectFamily, setDefaultAutoSelectFamilyAttemptTimeout
//
// node:net: sockets over connect() of cloudflare:sockets. A worker accepts no connections.

const { Duplex } = require("stream");
const EventEmitter = require("events");
const { Buffer } = require("buffer");
const { codes } = require("internal/errors");
const { connectFailure, resetFailure } = require("internal/connect_errors");
const { unavailable } = require("internal/unavailable");
const { validateFunction, validateInt32, validateNumber, validateString } = require("internal/validators");
const { BlockList, SocketAddress, isIP, isIPv4, isIPv6 } = require("internal/net_addresses");

// Programs set it; a connection has one attempt.
const ATTEMPT_TIMEOUT = 10;
let attemptTimeout = ATTEMPT_TIMEOUT;
let autoSelectFamily = false;

// (options, callback), (port, host, callback) or (path, callback): [options, callback].
function _normalizeArgs(args) {
  const list = [...args];
  const callback = typeof list.at(-1) === "function" ? list.pop() : null;
  if (list.length === 0) return [{}, callback];
  const [first, host] = list;
  if (typeof first === "object" && first !== null) return [first, callback];
  if (typeof first === "string" && !/^[0-9]+$/.test(first)) return [{ path: first }, callback];
  return [typeof host === "string" ? { port: first, host } : { port: first }, callback];
}

function Socket(options) {
  if (!(this instanceof Socket)) return new Socket(options);
  options = typeof options === "number" ? { fd: options } : { ...options };
  Duplex.call(this, { ...options, autoDestroy: true, emitClose: true, decodeStrings: true, read: undefined, write: undefined });
  this.connecting = false;
  this._handle = null;
  this._host = null;
  this._hadError = false;
  this._parent = null;
  this.server = null;
  this._server = null;
  this.autoSelectFamilyAttemptedAddresses = [];
  this.bytesRead = 0;
  this.bytesWritten = 0;
  this.timeout = 0;
  this.allowHalfOpen = options.allowHalfOpen ?? false;
  this.on("end", () => {
    if (!this.allowHalfOpen && !this.writableEnded) this.end();
  });
}
Object.setPrototypeOf(Socket.prototype, Duplex.prototype);
Object.setPrototypeOf(Socket, Duplex);

// What connect() of cloudflare:sockets is asked for; TLS sockets ask for another.
Socket.prototype._transport = () => "off";

Socket.prototype.connect = function connect(...args) {
  const [options, callback] = _normalizeArgs(Array.isArray(args[0]) ? args[0] : args);
  if (options.port === undefined && options.path == null) throw new codes.ERR_MISSING_ARGS(["options", "port", "path"]);
  if (options.path != null) throw new codes.ERR_INVALID_ARG_VALUE("path", options.path, "is not supported");
  const { host = "localhost" } = options;
  validateString(host, "options.host");
  const port = Number(options.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535 || options.port === "") {
    throw new codes.ERR_SOCKET_BAD_PORT("options.port", options.port);
  }
  if (callback !== null) this.once("connect", callback);
  const { connect: open } = internal.load("ext:atoll_js/17_sockets.js");
  this.connecting = true;
  this._host = host;
  this.remotePort = port;
  this.remoteAddress = host;
  this.remoteFamily = isIPv6(host) ? "IPv6" : "IPv4";
  const handle = open({ hostname: isIPv6(host) ? `[${host}]` : host, port }, {
    allowHalfOpen: true,
    secureTransport: this._transport(options),
  });
  this._attach(handle);
  handle.opened.then(() => {
    if (this.destroyed) return;
    this.connecting = false;
    this.emit("connect");
    this.emit("ready");
    this._read();
  }, (error) => this.destroy(connectFailure(error.cause?.code ?? "ECONNREFUSED", host, port, error.cause ?? error)));
  this._bump();
  return this;
};

Socket.prototype._attach = function _attach(handle) {
  this._handle = handle;
  this._reader = handle.readable.getReader();
  this._writer = handle.writable.getWriter();
  this._reader.closed.catch(() => {});
  this._writer.closed.catch(() => {});
  handle.closed.catch(() => {});
};

// Gives the streams of a socket back, for TLS to be started on it.
Socket.prototype._detach = function _detach() {
  const handle = this._handle;
  this._detached = true;
  this._reader.releaseLock();
  this._writer.releaseLock();
  this._handle = null;
  return handle;
};

Socket.prototype._read = function _read() {
  if (this._handle === null || this.connecting || this._reading || this._detached) return;
  this._reading = true;
  this._reader.read().then(({ done, value }) => {
    this._reading = false;
    if (this.destroyed || this._detached) return;
    this._bump();
    if (done) {
      this.push(null);
      return;
    }
    this.bytesRead += value.byteLength;
    if (this.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength))) this._read();
  }, (error) => {
    if (!this._detached) this.destroy(error?.code === "ECONNRESET" ? resetFailure(error) : error);
  });
};

Socket.prototype._write = function _write(chunk, _encoding, callback) {
  if (this._handle === null) {
    if (this.connecting || this.destroyed) return callback(new codes.ERR_SOCKET_CLOSED());
    this.once("connect", () => this._write(chunk, _encoding, callback));
    return;
  }
  this._bump();
  this.bytesWritten += chunk.byteLength;
  this._writer.write(chunk).then(() => callback(), callback);
};

Socket.prototype._final = function _final(callback) {
  if (this._handle === null) return callback();
  this._writer.close().then(() => callback(), callback);
};

Socket.prototype._destroy = function _destroy(error, callback) {
  clearTimeout(this._timer);
  this.connecting = false;
  if (this._handle !== null) this._handle.close().catch(() => {});
  this._hadError = Boolean(error);
  callback(error);
};

Socket.prototype._bump = function _bump() {
  clearTimeout(this._timer);
  if (this.timeout > 0 && !this.destroyed) this._timer = setTimeout(() => this.emit("timeout"), this.timeout);
};

Socket.prototype.setTimeout = function (milliseconds, callback = undefined) {
  validateNumber(milliseconds, "msecs", 0);
  this.timeout = milliseconds;
  if (callback !== undefined) {
    validateFunction(callback, "callback");
    if (milliseconds === 0) this.removeListener("timeout", callback);
    else this.once("timeout", callback);
  }
  this._bump();
  return this;
};

Socket.prototype.address = function address() {
  return {};
};
Socket.prototype.destroySoon = function destroySoon() {
  if (this.writable) this.end();
  if (this.writableFinished) this.destroy();
  else this.once("finish", this.destroy);
};
Socket.prototype.resetAndDestroy = function resetAndDestroy() {
  return this.destroy();
};
for (const name of ["ref", "unref", "setNoDelay", "setKeepAlive"]) {
  Socket.prototype[name] = {
    [name]() {
      return this;
    },
  }[name];
}
Object.defineProperties(Socket.prototype, {
  pending: {
    get() {
      return this._handle === null || this.connecting;
    },
  },
  readyState: {
    get() {
      if (this.connecting) return "opening";
      if (this._handle === null || this.destroyed) return "closed";
      if (this.readable && this.writable) return "open";
      return this.readable ? "readOnly" : this.writable ? "writeOnly" : "closed";
    },
  },
});

function connect(...args) {
  const [options, callback] = _normalizeArgs(args);
  const socket = new Socket(options);
  if (options.timeout) socket.setTimeout(options.timeout);
  return socket.connect([options, callback].filter((each) => each !== null));
}

// It can be made, as programs do when they load; it cannot listen.
class Server extends EventEmitter {
  constructor(options = undefined, listener = undefined) {
    super();
    if (typeof options === "function") [options, listener] = [{}, options];
    if (listener !== undefined) this.on("connection", listener);
    this.allowHalfOpen = options?.allowHalfOpen ?? false;
    this.pauseOnConnect = options?.pauseOnConnect ?? false;
  }

  get listening() {
    return false;
  }

  address() {
    return null;
  }

  close(callback = undefined) {
    if (callback) globalThis.process.nextTick(callback, Object.assign(new Error("Server is not running."), { code: "ERR_SERVER_NOT_RUNNING" }));
    return this;
  }

  getConnections(callback) {
    globalThis.process.nextTick(callback, null, 0);
    return this;
  }

  ref() {
    return this;
  }

  unref() {
    return this;
  }
}
Object.defineProperty(Server.prototype, "listen", { value: unavailable("Server.listen"), writable: true, configurable: true });

module.exports = {
  BlockList,
  BoundSocket: require("internal/unavailable").unavailableClass("BoundSocket"),
  Server,
  Socket,
  SocketAddress,
  Stream: Socket,
  _normalizeArgs,
  connect,
  createConnection: connect,
  createServer: (options, listener) => new Server(options, listener),
  getDefaultAutoSelectFamily: () => autoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout: () => attemptTimeout,
  isIP,
  isIPv4,
  isIPv6,
  setDefaultAutoSelectFamily(value) {
    autoSelectFamily = Boolean(value);
  },
  setDefaultAutoSelectFamilyAttemptTimeout(value) {
    validateInt32(value, "val", 1);
    attemptTimeout = Math.max(value, ATTEMPT_TIMEOUT);
  },
};
