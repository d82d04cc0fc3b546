// exports: STATUS_CODES, Server, ServerResponse, _connectionListener, httpServerPreClose, kConnectionsCheckingInterval
// exports: kServerResponse, setupConnectionsTracking, storeHTTPOptions
//
// node:_http_server. A server listens on a number, not on a port of a machine: httpServerHandler of cloudflare:node hands the
// worker's requests to the server of that number. A response goes to the web Response that `_respond` is waiting for; where a
// program assigned a socket instead, to that socket as HTTP/1.1.

const EventEmitter = require("events");
const { Buffer } = require("buffer");
const { OutgoingMessage } = require("_http_outgoing");
const { IncomingMessage } = require("_http_incoming");
const { _checkInvalidHeaderChar } = require("_http_common");
const { codes } = require("internal/http/errors");
const {
  ERR_HTTP_HEADERS_SENT, ERR_HTTP_INVALID_STATUS_CODE, ERR_HTTP_SOCKET_ASSIGNED, ERR_INVALID_CHAR,
  ERR_METHOD_NOT_IMPLEMENTED, ERR_SERVER_ALREADY_LISTEN, ERR_SERVER_NOT_RUNNING,
} = codes;
const { unavailable } = require("internal/unavailable");
const { validateFunction, validateObject } = require("internal/validators");

const STATUS_CODES = {
  "100": "Continue", "101": "Switching Protocols", "102": "Processing", "103": "Early Hints", "200": "OK",
  "201": "Created", "202": "Accepted", "203": "Non-Authoritative Information", "204": "No Content",
  "205": "Reset Content", "206": "Partial Content", "207": "Multi-Status", "208": "Already Reported", "226": "IM Used",
  "300": "Multiple Choices", "301": "Moved Permanently", "302": "Found", "303": "See Other", "304": "Not Modified",
  "305": "Use Proxy", "307": "Temporary Redirect", "308": "Permanent Redirect", "400": "Bad Request",
  "401": "Unauthorized", "402": "Payment Required", "403": "Forbidden", "404": "Not Found", "405": "Method Not Allowed",
  "406": "Not Acceptable", "407": "Proxy Authentication Required", "408": "Request Timeout", "409": "Conflict",
  "410": "Gone", "411": "Length Required", "412": "Precondition Failed", "413": "Payload Too Large",
  "414": "URI Too Long", "415": "Unsupported Media Type", "416": "Range Not Satisfiable", "417": "Expectation Failed",
  "418": "I'm a Teapot", "421": "Misdirected Request", "422": "Unprocessable Entity", "423": "Locked",
  "424": "Failed Dependency", "425": "Too Early", "426": "Upgrade Required", "428": "Precondition Required",
  "429": "Too Many Requests", "431": "Request Header Fields Too Large", "451": "Unavailable For Legal Reasons",
  "500": "Internal Server Error", "501": "Not Implemented", "502": "Bad Gateway", "503": "Service Unavailable",
  "504": "Gateway Timeout", "505": "HTTP Version Not Supported", "506": "Variant Also Negotiates",
  "507": "Insufficient Storage", "508": "Loop Detected", "509": "Bandwidth Limit Exceeded", "510": "Not Extended",
  "511": "Network Authentication Required",
};

const kServerResponse = Symbol("ServerResponse");
const kConnectionsCheckingInterval = Symbol("http.server.connectionsCheckingInterval");

// number -> server that listens
const listening = new Map();
// Numbers for servers that want any.
const FIRST_FREE = 49152;
let nextFree = FIRST_FREE;

class ServerResponse extends OutgoingMessage {
  #respond;
  #controller;
  // Resolves when the reader wants more.
  #wanted;

  constructor(request, options = undefined) {
    super(options);
    this.req = request;
    this.statusCode = 200;
    this.statusMessage = undefined;
    this.sendDate = true;
    this._sent100 = false;
    this._expect_continue = false;
    if (request.method === "HEAD") this._hasBody = false;
    this.useChunkedEncodingByDefault = !(request.httpVersionMajor < 1 || request.httpVersionMinor < 1);
    this.once("finish", () => globalThis.process.nextTick(() => super.destroy()));
  }

  // Waits for the head; the Response's body then carries what is written.
  _response() {
    return new Promise((resolve, reject) => {
      this.#respond = resolve;
      this.once("close", () => {
        if (this._header === null) reject(new Error("The response was destroyed before its head was sent."));
      });
    });
  }

  assignSocket(socket) {
    if (socket._httpMessage) throw new ERR_HTTP_SOCKET_ASSIGNED();
    socket._httpMessage = this;
    this.socket = socket;
    this.emit("socket", socket);
    if (this._header !== null) socket.write(this._header, "latin1");
    if (this._kept !== undefined) {
      const kept = this._kept;
      this._kept = undefined;
      socket.write(this.#waiting, kept);
    }
  }

  #waiting;

  detachSocket(socket) {
    socket._httpMessage = null;
    this.socket = null;
  }

  writeContinue(callback) {
    this._sent100 = true;
    callback?.();
  }

  writeProcessing() {}

  writeEarlyHints(hints, callback) {
    validateObject(hints, "hints");
    callback?.();
  }

  _implicitHeader() {
    this.writeHead(this.statusCode);
  }

  writeHead(statusCode, reason = undefined, headers = undefined) {
    if (this._header !== null) throw new ERR_HTTP_HEADERS_SENT("write");
    const code = statusCode | 0;
    if (code < 100 || code > 999) throw new ERR_HTTP_INVALID_STATUS_CODE(statusCode);
    if (typeof reason === "string") this.statusMessage = reason;
    else {
      this.statusMessage ||= STATUS_CODES[code] || "unknown";
      headers ??= reason;
    }
    this.statusCode = code;
    if (_checkInvalidHeaderChar(this.statusMessage)) throw new ERR_INVALID_CHAR("statusMessage");
    if (Array.isArray(headers)) {
      const pairs = Array.isArray(headers[0])
        ? headers
        : Array.from({ length: headers.length >> 1 }, (_, at) => [headers[2 * at], headers[2 * at + 1]]);
      for (const [name] of pairs) this.removeHeader(name);
      for (const [name, value] of pairs) this.appendHeader(name, value);
    } else if (headers) {
      for (const [name, value] of Object.entries(headers)) if (name) this.setHeader(name, value);
    }
    if (code === 204 || code === 304 || code < 200) this._hasBody = false;
    if (this._onlyChunk !== undefined && this._hasBody && !this.hasHeader("content-length") && !this.hasHeader("transfer-encoding")) {
      this.setHeader("Content-Length", Buffer.byteLength(this._onlyChunk));
    }
    this._storeHeader(`HTTP/1.1 ${code} ${this.statusMessage}\r\n`);
    return this;
  }

  _head() {
    if (this.socket !== null && typeof this.socket.write === "function") {
      this.socket.write(this._header, "latin1");
      return;
    }
    if (this.#respond === undefined) return;
    const headers = new Headers();
    for (const [name, value] of this._headerPairs()) {
      const lower = name.toLowerCase();
      if (lower !== "connection" && lower !== "transfer-encoding") headers.append(name, value);
    }
    const response = this;
    const body = this._hasBody
      ? new ReadableStream({
        type: "bytes",
        start(controller) {
          response.#controller = controller;
        },
        pull() {
          response.#wanted?.();
        },
        cancel(reason) {
          response.destroy(reason instanceof Error ? reason : undefined);
        },
      })
      : null;
    this.#respond(new Response(body, { status: this.statusCode, statusText: this.statusMessage, headers, encodeBody: "manual" }));
  }

  _write(chunk, encoding, callback) {
    if (!this._hasBody) callback();
    else if (this.#controller !== undefined) {
      // The buffer is handed over; the writer may use its own again.
      if (chunk.byteLength > 0) this.#controller.enqueue(new Uint8Array(chunk));
      if (this.#controller.desiredSize > 0) callback();
      else {
        this.#wanted = () => {
          this.#wanted = undefined;
          callback();
        };
      }
    } else if (this.socket !== null && typeof this.socket.write === "function") {
      this.socket.write(chunk, callback);
    } else {
      this.#waiting = chunk;
      this._kept = callback;
    }
  }

  _final(callback) {
    if (this.#controller !== undefined) {
      this.#controller.close();
      this.#controller.byobRequest?.respond(0);
    }
    callback();
  }

  destroy(error) {
    if (this.destroyed) return this;
    if (this.#controller !== undefined && !this.writableFinished) {
      try {
        this.#controller.error(error ?? new Error("aborted"));
      } catch {
        // The reader canceled it already.
      }
    }
    this.#wanted?.();
    return super.destroy(error);
  }
}
ServerResponse.prototype.writeHeader = ServerResponse.prototype.writeHead;

function storeHTTPOptions(options) {
  this[kServerResponse] = options.ServerResponse || ServerResponse;
  this._IncomingMessage = options.IncomingMessage || IncomingMessage;
}

// What stands for the connection of a request: programs look at its addresses and whether it is alive.
class RequestSocket extends EventEmitter {
  readable = true;
  writable = true;
  destroyed = false;
  encrypted;
  remoteAddress;
  remoteFamily;
  remotePort = 0;
  localAddress = "127.0.0.1";
  localPort;

  constructor(request, url, port) {
    super();
    this.encrypted = url.protocol === "https:";
    this.remoteAddress = request.headers.get("cf-connecting-ip") ?? "127.0.0.1";
    this.remoteFamily = this.remoteAddress.includes(":") ? "IPv6" : "IPv4";
    this.localPort = port;
  }

  // The message's body is read from a stream, and its buffer is as large as that of any other.
  get readableHighWaterMark() {
    return 16384;
  }

  address() {
    return { address: this.localAddress, family: "IPv4", port: this.localPort };
  }

  destroy() {
    this.destroyed = true;
    this.readable = false;
    this.writable = false;
    return this;
  }

  setTimeout() {
    return this;
  }

  setNoDelay() {
    return this;
  }

  setKeepAlive() {
    return this;
  }

  ref() {
    return this;
  }

  unref() {
    return this;
  }
}

class Server extends EventEmitter {
  #port = null;

  constructor(options = undefined, listener = undefined) {
    super();
    if (typeof options === "function") [options, listener] = [{}, options];
    options ??= {};
    validateObject(options, "options");
    storeHTTPOptions.call(this, options);
    if (listener !== undefined) {
      validateFunction(listener, "requestListener");
      this.on("request", listener);
    }
    this.httpAllowHalfOpen = false;
    this.timeout = 0;
    this.maxHeadersCount = null;
    this.maxRequestsPerSocket = 0;
    this.headersTimeout = 60000;
    this.requestTimeout = 300000;
    this.keepAliveTimeout = 5000;
    this.connectionsCheckingInterval = 30000;
  }

  listen(...args) {
    const callback = typeof args.at(-1) === "function" ? args.pop() : undefined;
    if (this.#port !== null) throw new ERR_SERVER_ALREADY_LISTEN();
    const [first] = args;
    let port = typeof first === "object" && first !== null ? first.port : first;
    port = Number(port ?? 0);
    if (!Number.isInteger(port) || port < 0 || port > 65535) throw new codes.ERR_SOCKET_BAD_PORT("options.port", port);
    if (port === 0) {
      while (listening.has(nextFree)) nextFree++;
      port = nextFree++;
    }
    if (listening.has(port)) {
      throw Object.assign(new Error(`listen EADDRINUSE: address already in use :::${port}`), { code: "EADDRINUSE", port });
    }
    this.#port = port;
    listening.set(port, this);
    if (callback !== undefined) this.once("listening", callback);
    globalThis.process.nextTick(() => this.emit("listening"));
    return this;
  }

  close(callback = undefined) {
    if (typeof callback === "function") {
      const error = this.#port === null ? new ERR_SERVER_NOT_RUNNING() : undefined;
      this.once("close", () => callback(error));
    }
    if (this.#port !== null) listening.delete(this.#port);
    this.#port = null;
    globalThis.process.nextTick(() => this.emit("close"));
    return this;
  }

  // The web Response of a web Request.
  async _serve(request, env, context) {
    const Incoming = this._IncomingMessage;
    const Outgoing = this[kServerResponse];
    const url = new URL(request.url);
    const incoming = new Incoming(new RequestSocket(request, url, this.#port));
    incoming.method = request.method;
    incoming.url = url.pathname + url.search;
    incoming._begin([...request.headers], request.body);
    incoming.cloudflare = { env, ctx: context, cf: request.cf };
    const outgoing = new Outgoing(incoming);
    const answered = outgoing._response();
    if (!this.emit("request", incoming, outgoing)) {
      outgoing.statusCode = 404;
      outgoing.end();
    }
    return await answered;
  }

  closeAllConnections() {}

  closeIdleConnections() {}

  setTimeout(_milliseconds, callback = undefined) {
    if (callback) this.on("timeout", callback);
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

  get listening() {
    return this.#port !== null;
  }

  address() {
    return this.#port === null ? null : { port: this.#port, family: "IPv4", address: "127.0.0.1" };
  }

  get maxConnections() {
    return undefined;
  }

  get connections() {
    return 0;
  }

  async [Symbol.asyncDispose]() {
    await new Promise((resolve) => this.close(() => resolve()));
  }
}

// What cloudflare:node gives.
function portOf(target) {
  const port = typeof target === "number" ? target : target?.port;
  if (!Number.isInteger(port)) throw new Error("Failed to determine port for server");
  return port;
}

async function handleAsNodeRequest(target, request, env, context) {
  const port = portOf(target);
  const server = listening.get(port);
  if (server === undefined) {
    const error = new Error(`Http server with port ${port} not found. This is likely a bug with your code. You should check if server.listen() was called with the same port (${port})`);
    error.code = "ERR_INVALID_ARG_VALUE";
    throw error;
  }
  return await server._serve(request, env, context);
}

function httpServerHandler(target) {
  if (target === null || target === undefined) throw new Error("Server descriptor cannot be null or undefined");
  let port = target;
  if (typeof target.listen === "function") {
    if (!target.listening) target.listen(0);
    port = target.address().port;
  }
  port = portOf(port);
  return {
    fetch(request, env, context) {
      return handleAsNodeRequest(port, request, env, context);
    },
  };
}

function httpServerPreClose(server) {
  server.closeIdleConnections();
}

module.exports = {
  STATUS_CODES,
  Server,
  ServerResponse,
  _connectionListener: unavailable("_connectionListener"),
  httpServerPreClose,
  kConnectionsCheckingInterval,
  kServerResponse,
  setupConnectionsTracking: unavailable("setupConnectionsTracking"),
  storeHTTPOptions,
};
Object.defineProperty(module.exports, "httpServerHandler", { value: httpServerHandler });
Object.defineProperty(module.exports, "handleAsNodeRequest", { value: handleAsNodeRequest });
