// HTMLRewriter. The parser is native and stops wherever a handler is to be called; here the document is fed piece by piece
// as it is read, handlers are called and awaited, and what the parser wrote goes on at once.
(function () {
const { core } = __bootstrap;
const { getAsyncContext, setAsyncContext } = core;
const {
  op_html_attribute,
  op_html_attributes,
  op_html_check_selector,
  op_html_content,
  op_html_doctype,
  op_html_end,
  op_html_has_attribute,
  op_html_insert,
  op_html_insert_stream,
  op_html_last_in_text_node,
  op_html_namespace,
  op_html_new,
  op_html_on_end_tag,
  op_html_output,
  op_html_remove,
  op_html_remove_attribute,
  op_html_removed,
  op_html_resume,
  op_html_set_attribute,
  op_html_set_comment,
  op_html_set_tag_name,
  op_html_stop,
  op_html_stream_write,
  op_html_tag_name,
  op_html_write,
} = core.ops;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const mimesniff = core.loadExtScript("ext:deno_web/01_mimesniff.js");
const { ReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { BYTES, TEXT } = core.loadExtScript("ext:atoll_js/12_body.js");
const { isResponse, Response, responseParts } = core.loadExtScript("ext:atoll_js/14_response.js");

// Steps of the parser; src/ops/html.rs has the same numbers. Zero and more is a handler's number, STREAM and less a stream's.
const INPUT = -1;
const DONE = -2;
const STREAM = -3;
// Handlers of a selector or of the document, in the order of their bits. Entry i has the numbers from i * STRIDE.
const KINDS = ["element", "comments", "text", "doctype", "end"];
const STRIDE = 8;
// End tags' handlers are numbered from here.
const END_TAGS = 1 << 24;

// Places of content; src/ops/html.rs has the same numbers.
const BEFORE = 0;
const AFTER = 1;
const PREPEND = 2;
const APPEND = 3;
const REPLACE = 4;
const INNER = 5;

const DEAD = "This content token is no longer valid. Content tokens are only valid during the execution of the relevant content handler.";

function notOfType(method, target, number, type) {
  return new TypeError(`Failed to execute '${method}' on '${target}': parameter ${number} is not of type '${type}'.`);
}

// Whatever a handler is given. It works until the handler has ended.
class Token {
  // The Rewriting it belongs to; null from then on.
  #rewriting;

  constructor(rewriting) {
    this.#rewriting = rewriting;
  }

  static live(token) {
    const rewriting = token.#rewriting;
    if (rewriting === null) throw new TypeError(DEAD);
    return rewriting;
  }

  static native(token) {
    const rewriting = token.#rewriting;
    if (rewriting === null) throw new TypeError(DEAD);
    return rewriting.native;
  }

  static end(token) {
    token.#rewriting = null;
  }
}
const { live, native, end: endToken } = Token;
for (const name of ["live", "native", "end"]) delete Token[name];

// content: a string, a stream, or a response whose body is meant.
function insert(token, place, count, method, content, options) {
  const target = token.constructor.name;
  if (count === 0) throw notOfType(method, target, 1, "string or JsReadableStream or Response");
  if (options !== undefined && options !== null && typeof options !== "object" && typeof options !== "function") {
    throw notOfType(method, target, 2, "ContentOptions");
  }
  const html = Boolean(options?.html);
  const rewriting = live(token);
  let stream = null;
  if (content instanceof ReadableStream) stream = content;
  else if (isResponse(content)) {
    stream = content.body;
    content = "";
  }
  if (stream === null) op_html_insert(rewriting.native, place, `${content}`, html);
  else if (token instanceof DocumentEnd) {
    throw new TypeError(
      "Replacing HTML content using a ReadableStream or Response object is not implemented. You must provide a string.",
    );
  } else rewriting.insertStream(place, stream, html);
  return token;
}

// A required string.
function text(value, count, number, method, target) {
  if (count < number) throw notOfType(method, target, number, "string");
  return `${value}`;
}

class AttributesIterator {
  #token;
  #list;
  #at = 0;

  constructor(token, list) {
    this.#token = token;
    this.#list = list;
  }

  next() {
    live(this.#token);
    const at = this.#at;
    if (at >= this.#list.length) return { done: true, value: undefined };
    this.#at += 2;
    return { done: false, value: [this.#list[at], this.#list[at + 1]] };
  }
}
Object.setPrototypeOf(AttributesIterator.prototype, Iterator.prototype);

class Element extends Token {
  get tagName() {
    return op_html_tag_name(native(this));
  }
  set tagName(name) {
    op_html_set_tag_name(native(this), `${name}`);
  }
  get namespaceURI() {
    return op_html_namespace(native(this));
  }
  get removed() {
    return op_html_removed(native(this));
  }
  get attributes() {
    return new AttributesIterator(this, op_html_attributes(native(this)));
  }
  getAttribute(name) {
    return op_html_attribute(native(this), text(name, arguments.length, 1, "getAttribute", "Element"));
  }
  hasAttribute(name) {
    return op_html_has_attribute(native(this), text(name, arguments.length, 1, "hasAttribute", "Element"));
  }
  setAttribute(name, value) {
    name = text(name, arguments.length, 1, "setAttribute", "Element");
    op_html_set_attribute(native(this), name, text(value, arguments.length, 2, "setAttribute", "Element"));
    return this;
  }
  removeAttribute(name) {
    op_html_remove_attribute(native(this), text(name, arguments.length, 1, "removeAttribute", "Element"));
    return this;
  }
  before(content, options = undefined) {
    return insert(this, BEFORE, arguments.length, "before", content, options);
  }
  after(content, options = undefined) {
    return insert(this, AFTER, arguments.length, "after", content, options);
  }
  prepend(content, options = undefined) {
    return insert(this, PREPEND, arguments.length, "prepend", content, options);
  }
  append(content, options = undefined) {
    return insert(this, APPEND, arguments.length, "append", content, options);
  }
  replace(content, options = undefined) {
    return insert(this, REPLACE, arguments.length, "replace", content, options);
  }
  setInnerContent(content, options = undefined) {
    return insert(this, INNER, arguments.length, "setInnerContent", content, options);
  }
  remove() {
    op_html_remove(native(this), false);
    return this;
  }
  removeAndKeepContent() {
    op_html_remove(native(this), true);
    return this;
  }
  onEndTag(callback) {
    if (typeof callback !== "function") throw notOfType("onEndTag", "Element", 1, "function");
    live(this).onEndTag(callback);
  }
}

class EndTag extends Token {
  get name() {
    return op_html_tag_name(native(this));
  }
  set name(name) {
    op_html_set_tag_name(native(this), `${name}`);
  }
  before(content, options = undefined) {
    return insert(this, BEFORE, arguments.length, "before", content, options);
  }
  after(content, options = undefined) {
    return insert(this, AFTER, arguments.length, "after", content, options);
  }
  remove() {
    op_html_remove(native(this), false);
    return this;
  }
}

class Comment extends Token {
  get text() {
    return op_html_content(native(this));
  }
  set text(value) {
    op_html_set_comment(native(this), `${value}`);
  }
  get removed() {
    return op_html_removed(native(this));
  }
  before(content, options = undefined) {
    return insert(this, BEFORE, arguments.length, "before", content, options);
  }
  after(content, options = undefined) {
    return insert(this, AFTER, arguments.length, "after", content, options);
  }
  replace(content, options = undefined) {
    return insert(this, REPLACE, arguments.length, "replace", content, options);
  }
  remove() {
    op_html_remove(native(this), false);
    return this;
  }
}

class Text extends Token {
  get text() {
    return op_html_content(native(this));
  }
  get lastInTextNode() {
    return op_html_last_in_text_node(native(this));
  }
  get removed() {
    return op_html_removed(native(this));
  }
  before(content, options = undefined) {
    return insert(this, BEFORE, arguments.length, "before", content, options);
  }
  after(content, options = undefined) {
    return insert(this, AFTER, arguments.length, "after", content, options);
  }
  replace(content, options = undefined) {
    return insert(this, REPLACE, arguments.length, "replace", content, options);
  }
  remove() {
    op_html_remove(native(this), false);
    return this;
  }
}

class Doctype extends Token {
  get name() {
    return op_html_doctype(native(this))[0];
  }
  get publicId() {
    return op_html_doctype(native(this))[1];
  }
  get systemId() {
    return op_html_doctype(native(this))[2];
  }
}

class DocumentEnd extends Token {
  append(content, options = undefined) {
    return insert(this, APPEND, arguments.length, "append", content, options);
  }
}

for (const kind of [Element, EndTag, Comment, Text, Doctype, DocumentEnd, AttributesIterator]) {
  Object.defineProperty(kind.prototype, Symbol.toStringTag, { value: kind.name, configurable: true });
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(kind.prototype))) {
    if (name !== "constructor") Object.defineProperty(kind.prototype, name, { ...property, enumerable: true });
  }
}

const TOKENS = { element: Element, comments: Comment, text: Text, doctype: Doctype, end: DocumentEnd };

function toBytes(chunk, what) {
  if (typeof chunk === "string") return core.encode(chunk);
  if (ArrayBuffer.isView(chunk)) {
    return chunk instanceof Uint8Array ? chunk : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  if (core.isAnyArrayBuffer(chunk)) return new Uint8Array(chunk);
  throw new TypeError(`${what} must give strings, ArrayBuffers or views of them, not ${typeof chunk}.`);
}

function readerOf(stream) {
  if (stream.locked) throw new TypeError("The ReadableStream has been locked to a reader.");
  return stream.getReader();
}

// One document on its way through.
class Rewriting {
  native;
  // Handlers by number: { call, kind }.
  #handlers;
  // Handlers of end tags that have not come yet.
  #endTags = new Map();
  #nextEndTag = END_TAGS;
  // Streams that wait for their turn: { stream, html }.
  #streams = [];
  #read;
  #cancelInput;
  #controller = null;
  // True once nothing may happen any more: done, failed or cancelled.
  #over = false;

  constructor(native, handlers, body) {
    this.native = native;
    this.#handlers = handlers;
    if (body.kind === TEXT || body.kind === BYTES) {
      let value = body.kind === TEXT ? core.encode(body.value) : body.value;
      body.used = true;
      this.#read = () => {
        const result = { done: value === null, value };
        value = null;
        return result;
      };
      this.#cancelInput = () => {};
    } else {
      const reader = readerOf(body.toStream());
      this.#read = () => reader.read();
      this.#cancelInput = (reason) => reader.cancel(reason).catch(() => {});
    }
  }

  onEndTag(callback) {
    const number = this.#nextEndTag++;
    op_html_on_end_tag(this.native, number);
    this.#endTags.set(number, callback);
  }

  insertStream(place, stream, html) {
    op_html_insert_stream(this.native, place, this.#streams.length);
    this.#streams.push({ stream, html });
  }

  // Feeds until something came out, or the document ends.
  async pull(controller) {
    this.#controller = controller;
    try {
      while (!this.#over) {
        let piece = this.#read();
        if (piece instanceof Promise) piece = await piece;
        if (this.#over) return;
        const step = piece.done ? op_html_end(this.native) : op_html_write(this.native, toBytes(piece.value, "A body's stream"));
        const running = this.#run(step);
        if (running !== null) await running;
        if (this.#over) return;
        const wrote = this.#flush();
        if (piece.done) {
          this.#over = true;
          this.#dropStreams();
          controller.close();
          controller.byobRequest?.respond(0);
          return;
        }
        if (wrote) return;
      }
    } catch (error) {
      if (this.#over) return;
      this.#giveUp(error);
      throw error;
    }
  }

  // Calls handlers until the parser wants input. Returns null, or a promise if one of them has to be waited for.
  #run(step) {
    while (step !== INPUT && step !== DONE) {
      if (step <= STREAM) return this.#runLater(this.#writeStream(STREAM - step), null);
      const token = this.#token(step);
      let result;
      try {
        result = this.#call(step, token);
      } catch (error) {
        endToken(token);
        throw error;
      }
      if (result !== undefined && result !== null && typeof result.then === "function") return this.#runLater(result, token);
      endToken(token);
      step = op_html_resume(this.native);
    }
    return null;
  }

  async #runLater(waited, token) {
    // What was written up to here need not wait for the handler.
    this.#flush();
    try {
      await waited;
    } finally {
      if (token !== null) endToken(token);
    }
    if (this.#over) return;
    const running = this.#run(op_html_resume(this.native));
    if (running !== null) await running;
  }

  #token(number) {
    return number >= END_TAGS ? new EndTag(this) : new TOKENS[this.#handlers[number].kind](this);
  }

  #call(number, token) {
    if (number < END_TAGS) {
      const { self, callback } = this.#handlers[number];
      return callback.call(self, token);
    }
    const callback = this.#endTags.get(number);
    this.#endTags.delete(number);
    return callback(token);
  }

  async #writeStream(number) {
    const { stream, html } = this.#streams[number];
    this.#streams[number] = null;
    const reader = readerOf(stream);
    while (true) {
      const { done, value } = await reader.read();
      if (this.#over) {
        reader.cancel().catch(() => {});
        return;
      }
      if (done) return;
      try {
        op_html_stream_write(this.native, toBytes(value, "A stream of content"), html);
      } catch (error) {
        reader.cancel(error).catch(() => {});
        throw error;
      }
      this.#flush();
    }
  }

  // True if there was something.
  #flush() {
    const output = op_html_output(this.native);
    if (output === null) return false;
    this.#controller.enqueue(output);
    return true;
  }

  #dropStreams(reason) {
    for (const entry of this.#streams) {
      if (entry !== null && !entry.stream.locked) entry.stream.cancel(reason).catch(() => {});
    }
    this.#streams = [];
    this.#endTags.clear();
  }

  #giveUp(reason) {
    this.#over = true;
    op_html_stop(this.native);
    this.#dropStreams(reason);
    this.#cancelInput(reason);
  }

  cancel(reason) {
    if (!this.#over) this.#giveUp(reason);
  }
}

function readHandlers(handlers, kinds, type) {
  const found = [];
  for (const kind of kinds) {
    const callback = handlers?.[kind];
    if (callback === undefined) continue;
    if (typeof callback !== "function") {
      throw new TypeError(`Incorrect type for the '${kind}' field on '${type}': the provided value is not of type 'function'.`);
    }
    found.push({ kind, self: handlers, callback });
  }
  return found;
}

function isDictionary(value, count, number) {
  return count >= number && (value === null || typeof value === "object" || typeof value === "function");
}

function charsetOf(response) {
  const header = response.headers.get("content-type");
  const mimeType = header === null ? null : mimesniff.parseMimeType(header);
  return mimeType?.parameters.get("charset") ?? "utf-8";
}

class HTMLRewriter {
  // { selector, handlers }; the document's have the empty selector, which no element has.
  #entries = [];
  [webidl.brand] = webidl.brand;

  on(selector, handlers) {
    selector = text(selector, arguments.length, 1, "on", "HTMLRewriter");
    if (!isDictionary(handlers, arguments.length, 2)) throw notOfType("on", "HTMLRewriter", 2, "ElementContentHandlers");
    const found = readHandlers(handlers, ["comments", "element", "text"], "ElementContentHandlers");
    op_html_check_selector(selector);
    this.#entries.push({ selector, handlers: found });
    return this;
  }

  onDocument(handlers) {
    if (!isDictionary(handlers, arguments.length, 1)) {
      throw notOfType("onDocument", "HTMLRewriter", 1, "DocumentContentHandlers");
    }
    const found = readHandlers(handlers, ["comments", "doctype", "end", "text"], "DocumentContentHandlers");
    this.#entries.push({ selector: "", handlers: found });
    return this;
  }

  transform(response) {
    if (!isResponse(response)) throw notOfType("transform", "HTMLRewriter", 1, "Response");
    const { body } = responseParts(response);
    if (body === null) return response;
    if (body.isUnusable) throw new TypeError("The ReadableStream has been locked to a reader.");
    const selectors = [];
    const bits = [];
    const numbered = [];
    this.#entries.forEach(({ selector, handlers }, index) => {
      selectors.push(selector);
      bits.push(handlers.reduce((sum, { kind }) => sum | (1 << KINDS.indexOf(kind)), 0));
      for (const handler of handlers) numbered[index * STRIDE + KINDS.indexOf(handler.kind)] = handler;
    });
    const rewriting = new Rewriting(op_html_new(charsetOf(response), selectors, bits), numbered, body);
    const frame = getAsyncContext();
    const readable = new ReadableStream({
      type: "bytes",
      pull(controller) {
        // Handlers run in the context in which the transformation began, whoever reads.
        const outer = getAsyncContext();
        setAsyncContext(frame);
        try {
          return rewriting.pull(controller);
        } finally {
          setAsyncContext(outer);
        }
      },
      cancel(reason) {
        rewriting.cancel(reason);
      },
    }, { highWaterMark: 1 });
    return new Response(readable, response);
  }
}
webidl.configureInterface(HTMLRewriter);

return { HTMLRewriter };
})();
