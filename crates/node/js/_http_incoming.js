// exports: IncomingMessage
//
// node:_http_incoming: a message that arrives, a request at a server or a response at a client. Its body comes from a web
// stream where `begin` names one; otherwise whoever made the message pushes.

const { Readable } = require("stream");
const { Buffer } = require("buffer");

// Headers of which the first counts; all others are joined with a comma.
const FIRST = new Set([
  "age", "authorization", "content-length", "content-type", "etag", "expires", "from", "host", "if-modified-since",
  "if-unmodified-since", "last-modified", "location", "max-forwards", "proxy-authorization", "referer", "retry-after",
  "server", "user-agent",
]);

function separator(name) {
  return name === "cookie" ? "; " : ", ";
}

class IncomingMessage extends Readable {
  #headers;
  #distinct;
  #trailers = {};
  #trailersDistinct = {};
  #reader;

  constructor(socket) {
    super(socket ? { highWaterMark: socket.readableHighWaterMark } : undefined);
    this.socket = socket ?? null;
    this.httpVersionMajor = null;
    this.httpVersionMinor = null;
    this.httpVersion = null;
    this.complete = false;
    this.rawHeaders = [];
    this.rawTrailers = [];
    this.joinDuplicateHeaders = false;
    this.aborted = false;
    this.upgrade = null;
    this.url = "";
    this.method = null;
    this.statusCode = null;
    this.statusMessage = null;
    this.client = socket ?? null;
  }

  // Takes head and body from a web Request or Response.
  _begin(headers, body) {
    this.httpVersionMajor = 1;
    this.httpVersionMinor = 1;
    this.httpVersion = "1.1";
    for (const [name, value] of headers) this.rawHeaders.push(name, value);
    if (body === null) {
      this.complete = true;
      this.push(null);
    } else {
      this.#reader = body.getReader();
    }
  }

  get connection() {
    return this.socket;
  }

  set connection(value) {
    this.socket = value;
  }

  get headers() {
    if (this.#headers === undefined) {
      this.#headers = {};
      const raw = this.rawHeaders;
      for (let at = 0; at < raw.length; at += 2) this._addHeaderLine(raw[at], raw[at + 1], this.#headers);
    }
    return this.#headers;
  }

  set headers(value) {
    this.#headers = value;
  }

  get headersDistinct() {
    if (this.#distinct === undefined) {
      this.#distinct = Object.create(null);
      const raw = this.rawHeaders;
      for (let at = 0; at < raw.length; at += 2) this._addHeaderLineDistinct(raw[at], raw[at + 1], this.#distinct);
    }
    return this.#distinct;
  }

  set headersDistinct(value) {
    this.#distinct = value;
  }

  get trailers() {
    return this.#trailers;
  }

  set trailers(value) {
    this.#trailers = value;
  }

  get trailersDistinct() {
    return this.#trailersDistinct;
  }

  set trailersDistinct(value) {
    this.#trailersDistinct = value;
  }

  _addHeaderLine(field, value, into) {
    const name = field.toLowerCase();
    if (name === "set-cookie") {
      if (into[name] === undefined) into[name] = [value];
      else into[name].push(value);
    } else if (into[name] === undefined) {
      into[name] = value;
    } else if (this.joinDuplicateHeaders || !FIRST.has(name)) {
      into[name] += `${separator(name)}${value}`;
    }
  }

  _addHeaderLines(raw, count) {
    this.rawHeaders = raw;
    this.#headers = undefined;
    this.#distinct = undefined;
    raw.length = count ?? raw.length;
  }

  _addHeaderLineDistinct(field, value, into) {
    const name = field.toLowerCase();
    if (into[name] === undefined) into[name] = [value];
    else into[name].push(value);
  }

  _read() {
    if (this.#reader === undefined) return;
    this.#reader.read().then(({ done, value }) => {
      if (this.destroyed) return;
      if (done) {
        this.complete = true;
        this.push(null);
      } else {
        this.push(typeof value === "string" ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength));
      }
    }, (error) => this.destroy(error));
  }

  _destroy(error, callback) {
    if (!this.readableEnded || !this.complete) {
      this.aborted = true;
      if (this.listenerCount("aborted") > 0) this.emit("aborted");
    }
    if (this.#reader !== undefined && !this.complete) this.#reader.cancel(error ?? undefined).catch(() => {});
    if (!error && this.#reader !== undefined && !this.complete) {
      error = Object.assign(new Error("aborted"), { code: "ECONNRESET" });
    }
    // An error that nobody listens to would end the event.
    if (error && this.listenerCount("error") === 0) error = null;
    globalThis.process.nextTick(callback, error);
  }

  _dump() {
    this.resume();
  }

  setTimeout(_milliseconds, callback) {
    if (callback) this.on("timeout", callback);
    return this;
  }
}




module.exports = { IncomingMessage };
