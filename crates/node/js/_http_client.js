// exports: ClientRequest
//
// node:_http_client: a request over fetch. It starts with the first byte of the body that is not the last, with
// `flushHeaders`, or with `end`; a body that is complete by then goes with its length, any other is streamed.

const { Buffer } = require("buffer");
const { OutgoingMessage } = require("_http_outgoing");
const { IncomingMessage } = require("_http_incoming");
const { globalAgent } = require("_http_agent");
const { _checkIsHttpToken } = require("_http_common");
const { codes: { ERR_INVALID_ARG_TYPE, ERR_INVALID_HTTP_TOKEN, ERR_INVALID_PROTOCOL, ERR_UNESCAPED_CHARACTERS } } =
  require("internal/http/errors");
const { connectFailure, hangUp } = require("internal/connect_errors");
const { networkCode } = internal.load("ext:atoll_js/15_fetch.js");
const { urlToHttpOptions } = require("url");
const { validateFunction, validateString } = require("internal/validators");

const INVALID_PATH = /[^\u0021-\u00ff]/;
const BODILESS = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"]);

function optionsOf(input, options, callback) {
  if (typeof input === "string") input = urlToHttpOptions(new URL(input));
  else if (input instanceof URL) input = urlToHttpOptions(input);
  else [input, options, callback] = [null, input, options];
  if (typeof options === "function") [options, callback] = [{}, options];
  return [Object.assign(input ?? {}, options), callback];
}

// The way out says what failed; what it does not know (an abort, a rule) is told as it is.
function requestFailure(error, host, port) {
  const code = networkCode(error);
  if (code === undefined) return error;
  return code === "ECONNRESET" ? hangUp(error) : connectFailure(code, host, port, error);
}

class ClientRequest extends OutgoingMessage {
  #url;
  #abort = new AbortController();
  #timer;
  #started = false;
  #writer;

  constructor(input, options = undefined, callback = undefined) {
    super();
    [options, callback] = optionsOf(input, options, callback);
    let { agent } = options;
    if (agent === false) agent = new (options._defaultAgent ?? globalAgent).constructor();
    else if (agent === null || agent === undefined) agent = options._defaultAgent ?? globalAgent;
    else if (typeof agent !== "object") {
      throw new ERR_INVALID_ARG_TYPE("options.agent", ["Agent-like Object", "undefined", "false"], agent);
    }
    this.agent = agent;
    const expected = agent.protocol ?? (options._defaultAgent ?? globalAgent).protocol;
    const protocol = options.protocol || options._defaultAgent?.protocol || expected;
    if (protocol !== expected) throw new ERR_INVALID_PROTOCOL(protocol, expected);
    if (options.path && INVALID_PATH.test(`${options.path}`)) throw new ERR_UNESCAPED_CHARACTERS("Request path");
    const method = options.method ?? "GET";
    validateString(method, "options.method");
    if (method && !_checkIsHttpToken(method)) throw new ERR_INVALID_HTTP_TOKEN("Method", method);
    this.method = (method || "GET").toUpperCase();
    this.path = options.path || "/";
    for (const name of ["hostname", "host"]) {
      const value = options[name];
      if (value !== null && value !== undefined && typeof value !== "string") {
        throw new ERR_INVALID_ARG_TYPE(`options.${name}`, ["string", "undefined", "null"], value);
      }
    }
    this.host = options.hostname || options.host || "localhost";
    this.protocol = protocol;
    this.port = Number(options.port || options.defaultPort || agent.defaultPort || 80);
    this.aborted = false;
    this.reusedSocket = false;
    this.maxHeadersCount = null;
    this.joinDuplicateHeaders = options.joinDuplicateHeaders;
    this.res = null;
    this.timeout = options.timeout;
    this.useChunkedEncodingByDefault = !BODILESS.has(this.method);
    if (callback !== undefined) {
      validateFunction(callback, "callback");
      this.once("response", callback);
    }
    if (Array.isArray(options.headers)) {
      const { headers } = options;
      if (Array.isArray(headers[0])) for (const [name, value] of headers) this.appendHeader(name, value);
      else for (let at = 0; at + 1 < headers.length; at += 2) this.appendHeader(headers[at], headers[at + 1]);
    } else if (options.headers) {
      const pairs = options.headers instanceof Headers ? options.headers : Object.entries(options.headers);
      for (const [name, value] of pairs) this.setHeader(name, value);
    }
    const isDefaultPort = this.port === (agent.defaultPort ?? 80);
    // An IPv6 address stands in brackets.
    const host = this.host.includes(":") && !this.host.startsWith("[") ? `[${this.host}]` : this.host;
    if (options.setHost !== false && !this.hasHeader("host")) {
      this.setHeader("Host", isDefaultPort ? host : `${host}:${this.port}`);
    }
    if (options.auth && !this.hasHeader("authorization")) {
      this.setHeader("Authorization", `Basic ${Buffer.from(options.auth).toString("base64")}`);
    }
    this.#url = new URL(`${protocol}//${host}:${this.port}${this.path.startsWith("/") ? "" : "/"}${this.path}`);
    if (options.timeout) this.setTimeout(options.timeout);
    if (options.signal) {
      const { signal } = options;
      if (signal.aborted) globalThis.process.nextTick(() => this.destroy(signal.reason));
      else signal.addEventListener("abort", () => this.destroy(signal.reason), { once: true });
    }
    // A request has a socket in the next turn.
    globalThis.process.nextTick(() => {
      if (!this.destroyed) this.emit("socket", this.socket);
    });
  }

  _implicitHeader() {
    this._storeHeader(`${this.method} ${this.path} HTTP/1.1\r\n`);
  }

  // The whole body is known where the message ended before anything was written.
  _head() {
    const only = this._onlyChunk;
    if (only === undefined) return;
    const body = only.length === 0 ? undefined : only;
    this.#fetch(body);
  }

  flushHeaders() {
    super.flushHeaders();
    if (!this.#started) this.#stream();
  }

  #stream() {
    if (this.method === "GET" || this.method === "HEAD") {
      this.#fetch(undefined);
      return;
    }
    const length = this.getHeader("content-length");
    const { readable, writable } = length !== undefined && /^[0-9]+$/.test(`${length}`)
      ? new FixedLengthStream(BigInt(length))
      : new IdentityTransformStream();
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {});
    this.#fetch(readable);
  }

  async #fetch(body) {
    this.#started = true;
    const headers = new Headers();
    for (const [name, value] of this._headerPairs()) {
      const lower = name.toLowerCase();
      // The connection is fetch's.
      if (lower === "connection" || lower === "transfer-encoding" || lower === "content-length" || lower === "host") continue;
      headers.append(name, value);
    }
    let response;
    try {
      response = await fetch(this.#url, {
        method: this.method,
        headers,
        body: this.method === "GET" || this.method === "HEAD" ? undefined : body,
        redirect: "manual",
        signal: this.#abort.signal,
      });
    } catch (error) {
      if (!this.destroyed) this.destroy(requestFailure(error, this.host, this.port));
      return;
    }
    clearTimeout(this.#timer);
    if (this.destroyed) {
      response.body?.cancel().catch(() => {});
      return;
    }
    this.#respond(response);
  }

  #respond(response) {
    const message = new IncomingMessage(this.socket);
    message.joinDuplicateHeaders = this.joinDuplicateHeaders ?? false;
    message.statusCode = response.status;
    message.statusMessage = response.statusText;
    message.url = "";
    message.req = this;
    // The body is decoded when it is read.
    const decoded = response.headers.has("content-encoding") && response.body !== null;
    const headers = [...response.headers].filter(([name]) => !decoded || (name !== "content-encoding" && name !== "content-length"));
    message._begin(headers, response.body);
    this.res = message;
    message.once("close", () => {
      if (!this.destroyed) super.destroy();
    });
    if (!this.emit("response", message)) message._dump();
  }

  _chunk(chunk, callback) {
    if (!this.#started) this.#stream();
    // It was sent with the head.
    if (this.#writer === undefined) callback();
    else this.#writer.write(chunk).then(() => callback(), callback);
  }

  _last(callback) {
    if (this.#writer === undefined) callback();
    else this.#writer.close().then(() => callback(), callback);
  }

  abort() {
    if (this.aborted) return;
    this.aborted = true;
    globalThis.process.nextTick(() => this.emit("abort"));
    this.destroy();
  }

  destroy(error) {
    if (this.destroyed) return this;
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.res?.destroy(error);
    if (!error && this.res === null) error = hangUp(undefined);
    return super.destroy(error);
  }

  setTimeout(milliseconds, callback = undefined) {
    clearTimeout(this.#timer);
    if (callback !== undefined) {
      validateFunction(callback, "callback");
      this.once("timeout", callback);
    }
    if (milliseconds > 0) this.#timer = setTimeout(() => this.emit("timeout"), milliseconds);
    return this;
  }

  clearTimeout(callback) {
    return this.setTimeout(0, callback);
  }

  onSocket() {}

  setNoDelay() {}

  setSocketKeepAlive() {}
}

module.exports = { ClientRequest };
