// EventSource (HTML Standard, "Server-sent events"), with the platform's EventSource.from(stream), its `fetcher` option and
// its bounds on the reconnection time. A failed request is final, as on the platform; a stream that ends is reconnected.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const mimesniff = core.loadExtScript("ext:deno_web/01_mimesniff.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { clearTimeout, setTimeout } = core.loadExtScript("ext:deno_web/02_timers.js");
const { AbortController } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { defineEventHandler, ErrorEvent, Event, EventTarget, MessageEvent } = core.loadExtScript("ext:deno_web/02_event.js");
const { ReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { TextDecoder } = core.loadExtScript("ext:deno_web/08_text_encoding.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");
const { fetch } = core.loadExtScript("ext:atoll_js/15_fetch.js");

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;
// Milliseconds; a server may ask for what lies between.
const RECONNECTION_DEFAULT = 2000;
const RECONNECTION_MIN = 1000;
const RECONNECTION_MAX = 10000;
// The most characters of one event, and of one line: a stream that never ends either would fill the memory.
const EVENT_CHARACTERS_MAX = 16 * 1024 * 1024;
const FROM = Symbol("from a stream");

// HTML Standard, "interpreting an event stream". sink: { id(lastEventId), message(type, data, lastEventId), retry(milliseconds) }.
class EventStreamParser {
  // A byte order mark is one at the stream's start alone: elsewhere it is a character, also where a piece begins.
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #begun = false;
  #rest = "";
  // The last piece ended with CR: an LF at the start of the next belongs to it.
  #afterCr = false;
  #data = [];
  #size = 0;
  #type = "";
  #lastEventId;
  #sink;

  constructor(sink, lastEventId) {
    this.#sink = sink;
    this.#lastEventId = lastEventId;
  }

  feed(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return;
    if (!this.#begun) {
      this.#begun = true;
      if (text[0] === "\ufeff") text = text.slice(1);
    }
    if (this.#afterCr && text[0] === "\n") text = text.slice(1);
    this.#afterCr = text.endsWith("\r");
    let start = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code !== 10 && code !== 13) continue;
      this.#line(this.#rest + text.slice(start, at));
      this.#rest = "";
      if (code === 13 && text.charCodeAt(at + 1) === 10) at++;
      start = at + 1;
    }
    this.#rest += text.slice(start);
    this.#checkSize(this.#rest.length);
  }

  #checkSize(more) {
    if (this.#size + more > EVENT_CHARACTERS_MAX) {
      throw new RangeError(`An event of the stream is longer than ${EVENT_CHARACTERS_MAX} characters.`);
    }
  }

  #line(line) {
    if (line === "") {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    switch (field) {
      case "data":
        this.#checkSize(value.length + 1);
        this.#size += value.length + 1;
        this.#data.push(value);
        break;
      case "event":
        this.#type = value;
        break;
      case "id":
        if (!value.includes("\0")) this.#lastEventId = value;
        break;
      case "retry":
        if (/^[0-9]+$/.test(value)) this.#sink.retry(Number(value));
        break;
    }
  }

  #dispatch() {
    const data = this.#data;
    const type = this.#type;
    this.#data = [];
    this.#size = 0;
    this.#type = "";
    this.#sink.id(this.#lastEventId);
    if (data.length !== 0) this.#sink.message(type === "" ? "message" : type, data.join("\n"), this.#lastEventId);
  }
}

function toBytes(chunk) {
  if (typeof chunk === "string") return core.encode(chunk);
  if (ArrayBuffer.isView(chunk) || core.isAnyArrayBuffer(chunk)) return chunk;
  throw new TypeError(`An event stream must give ArrayBuffers or views of them, but a chunk is ${typeof chunk}.`);
}

class EventSource extends EventTarget {
  // null for one that reads a given stream.
  #url = null;
  #fetcher = null;
  #state = CONNECTING;
  #abort = new AbortController();
  #timer = undefined;
  #reader = null;
  #reconnectionTime = RECONNECTION_DEFAULT;
  #lastEventId = "";
  // The last answer had no body.
  #hadNoBody = false;

  constructor(url, init = undefined) {
    super();
    this[webidl.brand] = webidl.brand;
    if (url === FROM) {
      this.#read(init, false);
      return;
    }
    if (arguments.length === 0) throw new TypeError("Failed to construct 'EventSource': parameter 1 is not of type 'string'.");
    if (init !== undefined && init !== null && typeof init !== "object" && typeof init !== "function") {
      throw new TypeError("Failed to construct 'EventSource': parameter 2 is not of type 'EventSourceInit'.");
    }
    assertInEvent();
    if (init?.withCredentials) {
      throw new DOMException(
        "The init.withCredentials option is not supported. It must be false or undefined.",
        "NotSupportedError",
      );
    }
    try {
      this.#url = new URL(`${url}`);
    } catch {
      throw new DOMException(`Cannot open an EventSource to '${url}'. The URL is invalid.`, "SyntaxError");
    }
    this.#fetcher = init?.fetcher ?? null;
    this.#connect();
  }

  static from(readable) {
    if (!(readable instanceof ReadableStream)) {
      throw new TypeError("Failed to execute 'from' on 'EventSource': parameter 1 is not of type 'ReadableStream'.");
    }
    assertInEvent();
    if (readable.locked) throw new TypeError("This ReadableStream is locked.");
    return new EventSource(FROM, readable);
  }

  get url() {
    return this.#url === null ? "" : this.#url.href;
  }

  get withCredentials() {
    return false;
  }

  get readyState() {
    return this.#state;
  }

  close() {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#release();
  }

  #release(reason) {
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.#reader?.cancel(reason).catch(() => {});
    this.#reader = null;
  }

  async #connect() {
    const headers = { accept: "text/event-stream", "cache-control": "no-cache" };
    if (this.#lastEventId !== "") headers["last-event-id"] = encodeHeader(this.#lastEventId);
    const init = { headers, signal: this.#abort.signal };
    let response;
    try {
      const href = this.#url.href;
      response = await (this.#fetcher === null ? fetch(href, init) : this.#fetcher.fetch(href, init));
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#state === CLOSED) {
      response.body?.cancel().catch(() => {});
      return;
    }
    const problem = problemOf(response);
    if (problem !== null) {
      response.body?.cancel().catch(() => {});
      this.#fail(new DOMException(problem, "AbortError"));
      return;
    }
    if (response.redirected) this.#url = new URL(response.url);
    if (response.body !== null) {
      this.#hadNoBody = false;
      await this.#read(response.body, true);
    } else if (this.#hadNoBody) {
      this.#fail(new Error("The server provided no content."));
    } else {
      this.#hadNoBody = true;
      this.#fail(new Error("The server provided no content. Will try reconnecting."), true);
    }
  }

  async #read(readable, reconnects) {
    const reader = readable.getReader();
    this.#reader = reader;
    // Listeners are added after the constructor.
    await undefined;
    if (this.#state === CLOSED) return;
    this.#state = OPEN;
    this.dispatchEvent(new Event("open"));
    const parser = new EventStreamParser({
      id: (id) => {
        this.#lastEventId = id;
      },
      message: (type, data, lastEventId) => {
        if (this.#state === CLOSED) return;
        const origin = this.#url === null ? "" : this.#url.origin;
        this.dispatchEvent(new MessageEvent(type, { data, lastEventId, origin }));
      },
      retry: (time) => {
        this.#reconnectionTime = Math.min(Math.max(time, RECONNECTION_MIN), RECONNECTION_MAX);
      },
    }, this.#lastEventId);
    try {
      while (true) {
        const { done, value } = await reader.read();
        if (this.#state === CLOSED) return;
        if (done) break;
        parser.feed(toBytes(value));
      }
    } catch (error) {
      if (this.#state === CLOSED) return;
      // A connection that breaks is like one that ends; a stream that is wrong is not.
      const broke = reconnects && error instanceof TypeError;
      this.#fail(error, broke);
      return;
    }
    this.#fail(new Error("The server disconnected."), reconnects);
  }

  // Tells the listeners; reconnects, or it is over.
  #fail(error, reconnects = false) {
    if (this.#state === CLOSED) return;
    this.#state = reconnects ? CONNECTING : CLOSED;
    this.#release(error);
    this.dispatchEvent(new ErrorEvent("error", { error, message: `${error?.message ?? error}` }));
    // A listener may have closed it.
    if (!reconnects || this.#state === CLOSED) return;
    this.#abort = new AbortController();
    this.#timer = setTimeout(() => this.#connect(), this.#reconnectionTime);
  }
}

function assertInEvent() {
  if (currentEvent() === null) {
    throw new DOMException("An EventSource can only be created within the context of a worker request.", "NotSupportedError");
  }
}

// The id goes out as its UTF-8 bytes.
function encodeHeader(id) {
  return String.fromCharCode(...core.encode(id.slice(0, 4096)));
}

function problemOf(response) {
  if (!response.ok) return `The response status code was ${response.status}.`;
  const contentType = response.headers.get("content-type");
  if (contentType === null) return "No content type header was present in the response.";
  const mimeType = mimesniff.parseMimeType(contentType);
  if (mimeType === null || mimesniff.essence(mimeType) !== "text/event-stream") {
    return `The content type '${contentType}' is invalid.`;
  }
  return null;
}

for (const [name, value] of [["CONNECTING", CONNECTING], ["OPEN", OPEN], ["CLOSED", CLOSED]]) {
  Object.defineProperty(EventSource, name, { value, enumerable: true });
  Object.defineProperty(EventSource.prototype, name, { value, enumerable: true });
}
webidl.configureInterface(EventSource);
for (const name of ["error", "message", "open"]) defineEventHandler(EventSource.prototype, name);

return { EventSource };
})();
