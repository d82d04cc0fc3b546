// exports: OutgoingMessage, kHighWaterMark, kUniqueHeaders, parseUniqueHeadersOption, validateHeaderName
// exports: validateHeaderValue
//
// node:_http_outgoing: a message that is sent. Headers are collected until the first byte of the body, `flushHeaders` or
// `end`; then `_implicitHeader` completes them, and what is written goes where the subclass's `_head` and `_chunk` send it.
// A message without a subclass keeps what was written, as one without a socket does in Node.js.

const { Writable } = require("stream");
const { Buffer } = require("buffer");
const { codes } = require("internal/http/errors");
const {
  ERR_HTTP_HEADERS_SENT, ERR_HTTP_INVALID_HEADER_VALUE, ERR_INVALID_ARG_TYPE, ERR_INVALID_CHAR, ERR_INVALID_HTTP_TOKEN,
  ERR_METHOD_NOT_IMPLEMENTED, ERR_STREAM_CANNOT_PIPE,
} = codes;
const { _checkInvalidHeaderChar, _checkIsHttpToken } = require("_http_common");

const kHighWaterMark = Symbol("kHighWaterMark");
const kUniqueHeaders = Symbol("kUniqueHeaders");

function validateHeaderName(name, label = undefined) {
  if (typeof name !== "string" || !name || !_checkIsHttpToken(name)) {
    throw new ERR_INVALID_HTTP_TOKEN(label || "Header name", `${name}`);
  }
}

function validateHeaderValue(name, value) {
  if (value === undefined) throw new ERR_HTTP_INVALID_HEADER_VALUE(value, name);
  if (_checkInvalidHeaderChar(`${value}`)) throw new ERR_INVALID_CHAR("header content", name);
}

function parseUniqueHeadersOption(headers) {
  if (!Array.isArray(headers)) return null;
  return new Set(headers.map((header) => Array.isArray(header) ? header.join().toLowerCase() : `${header}`.toLowerCase()));
}

class OutgoingMessage extends Writable {
  // lower-case name -> [name, value]
  #headers = new Map();

  constructor(options = undefined) {
    super({ highWaterMark: options?.highWaterMark, autoDestroy: false });
    this[kUniqueHeaders] = null;
    this.chunkedEncoding = false;
    this.shouldKeepAlive = true;
    this.useChunkedEncodingByDefault = true;
    this.sendDate = false;
    this.maxRequestsOnConnectionReached = false;
    this.strictContentLength = false;
    this.socket = null;
    this.finished = false;
    this._header = null;
    this._hasBody = true;
    this._removedConnection = false;
    this._removedContLen = false;
    this._removedTE = false;
    this._trailer = "";
    this._keepAliveTimeout = 0;
  }

  get connection() {
    return this.socket;
  }

  set connection(value) {
    this.socket = value;
  }

  get headersSent() {
    return this._header !== null;
  }

  #assertOpen(what) {
    if (this._header !== null) throw new ERR_HTTP_HEADERS_SENT(what);
  }

  setHeader(name, value) {
    this.#assertOpen("set");
    validateHeaderName(name);
    if (Array.isArray(value)) for (const each of value) validateHeaderValue(name, each);
    else validateHeaderValue(name, value);
    this.#headers.set(name.toLowerCase(), [name, value]);
    return this;
  }

  setHeaders(headers) {
    this.#assertOpen("set");
    if (!headers || Array.isArray(headers) || typeof headers.keys !== "function" || typeof headers.get !== "function") {
      throw new ERR_INVALID_ARG_TYPE("headers", ["Headers", "Map"], headers);
    }
    const cookies = [];
    for (const [name, value] of headers) {
      if (name === "set-cookie") cookies.push(...[value].flat());
      else this.setHeader(name, value);
    }
    if (cookies.length > 0) this.setHeader("set-cookie", cookies);
    return this;
  }

  appendHeader(name, value) {
    this.#assertOpen("append");
    validateHeaderName(name);
    for (const each of [value].flat()) validateHeaderValue(name, each);
    const known = this.#headers.get(name.toLowerCase());
    if (known === undefined) this.#headers.set(name.toLowerCase(), [name, value]);
    else known[1] = [known[1], value].flat();
    return this;
  }

  getHeader(name) {
    if (typeof name !== "string") throw new ERR_INVALID_ARG_TYPE("name", "string", name);
    return this.#headers.get(name.toLowerCase())?.[1];
  }

  getHeaderNames() {
    return [...this.#headers.keys()];
  }

  getRawHeaderNames() {
    return [...this.#headers.values()].map(([name]) => name);
  }

  getHeaders() {
    const headers = Object.create(null);
    for (const [name, [, value]] of this.#headers) headers[name] = value;
    return headers;
  }

  hasHeader(name) {
    if (typeof name !== "string") throw new ERR_INVALID_ARG_TYPE("name", "string", name);
    return this.#headers.has(name.toLowerCase());
  }

  removeHeader(name) {
    if (typeof name !== "string") throw new ERR_INVALID_ARG_TYPE("name", "string", name);
    this.#assertOpen("remove");
    this.#headers.delete(name.toLowerCase());
  }

  // Each header as often as it is sent.
  _headerPairs() {
    const pairs = [];
    for (const [name, value] of this.#headers.values()) {
      if (Array.isArray(value) && name.toLowerCase() !== "cookie") for (const each of value) pairs.push([name, `${each}`]);
      else pairs.push([name, Array.isArray(value) ? value.join("; ") : `${value}`]);
    }
    return pairs;
  }

  _implicitHeader() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("_implicitHeader()");
  }

  _renderHeaders() {
    this.#assertOpen("render");
    return Object.fromEntries(this.#headers.values());
  }

  // Fixes the head; nothing can be set from here on.
  _storeHeader(firstLine) {
    this._header = `${firstLine}${this._headerPairs().map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
    this._head?.();
  }

  flushHeaders() {
    if (this._header === null) this._implicitHeader();
  }

  addTrailers(headers) {
    for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers)) {
      validateHeaderName(name, "Trailer name");
      if (_checkInvalidHeaderChar(`${value}`)) throw new ERR_INVALID_CHAR("trailer content", name);
      this._trailer += `${name}: ${value}\r\n`;
    }
  }

  setTimeout(_milliseconds, callback = undefined) {
    if (callback) this.on("timeout", callback);
    return this;
  }

  pipe() {
    this.emit("error", new ERR_STREAM_CANNOT_PIPE());
  }

  write(chunk, encoding, callback) {
    if (this._header === null && !this.destroyed && !this.finished) this._implicitHeader();
    return super.write(chunk, encoding, callback);
  }

  end(chunk, encoding, callback) {
    if (this.finished) return super.end(chunk, encoding, callback);
    if (typeof chunk === "function") [chunk, callback] = [undefined, chunk];
    else if (typeof encoding === "function") [encoding, callback] = [undefined, encoding];
    if (this._header === null && !this.destroyed) {
      this._onlyChunk = typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk ?? "";
      this._implicitHeader();
    }
    if (chunk !== undefined && chunk !== null) super.write(chunk, encoding);
    this.finished = true;
    return super.end(callback);
  }

  _write(chunk, encoding, callback) {
    if (!this._hasBody) return callback();
    if (this._chunk === undefined) {
      // Kept until there is somewhere to send it.
      this._kept = callback;
      return;
    }
    this._chunk(chunk, callback);
  }

  _final(callback) {
    if (this._last === undefined) callback();
    else this._last(callback);
  }

  destroy(error) {
    if (this.destroyed) return this;
    super.destroy(error);
    return this;
  }
}

module.exports = {
  OutgoingMessage,
  kHighWaterMark,
  kUniqueHeaders,
  parseUniqueHeadersOption,
  validateHeaderName,
  validateHeaderValue,
};
