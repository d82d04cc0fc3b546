// Bodies (Fetch Standard, "Body mixin"): what a Request or Response holds, in the cheapest form that still says all.
//
// A body begins as text, bytes or a native source (a body that arrives from outside); a ReadableStream is made of it only
// when somebody asks for `.body`. So text() on an incoming request and a response with a string never make a stream, and a
// native source that nobody looked into travels on without passing through JavaScript.
(function () {
const { core, primordials } = __bootstrap;
const { ArrayIsArray, SymbolAsyncIterator, SymbolIterator } = primordials;
const ObjectPrototypeToString = Object.prototype.toString;
const {
  op_body_cancel,
  op_body_collect,
  op_body_collect_sync,
  op_body_length,
  op_body_read,
} = core.ops;
const { Blob } = core.loadExtScript("ext:deno_web/09_file.js");
const { URLSearchParams } = core.loadExtScript("ext:deno_web/00_url.js");
const mimesniff = core.loadExtScript("ext:deno_web/01_mimesniff.js");
const streams = core.loadExtScript("ext:deno_web/06_streams.js");
const { ReadableStream, readableStreamDisturb } = streams;
const { contentLength, contentOrigin, contentStream, isDisturbed } = core.loadExtScript("ext:atoll_js/12_content.js");
const { enabled } = core.loadExtScript("ext:atoll_js/28_compat.js");
const { assertSameEvent, currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");
const { boundText } = core.loadExtScript("ext:atoll_js/03_account.js");
const { decodeMultipart, decodeUrlEncoded, encodeMultipart, FormData } = core.loadExtScript("ext:atoll_js/11_formdata.js");

const TEXT = 0;
const BYTES = 1;
const NATIVE = 2;
const STREAM = 3;

const USED = "Body has already been used. It can only be used once. Use tee() first if you need to read it twice.";

// What the platform calls a body's stream when it names one.
const BODY_TYPE = "ReadableStreamSource>";

// Streams whose bytes are counted beforehand (FixedLengthStream): stream -> length.
const knownLengths = new WeakMap();

// Bytes that the stream will give, or null where nobody knows.
function knownLength(stream) {
  const length = contentLength(stream);
  return length === undefined ? knownLengths.get(stream) ?? null : length;
}

function setKnownLength(stream, length) {
  knownLengths.set(stream, length);
}

class Body {
  constructor(kind, value, length) {
    this.kind = kind;
    this.value = value;
    // Bytes, or null where unknown. Text: null until somebody needs it.
    this.length = length;
    this.used = false;
    // Of a native body: the event it belongs to.
    this.event = null;
  }

  static text(text) {
    return new Body(TEXT, text, null);
  }

  static bytes(bytes) {
    return new Body(BYTES, bytes, bytes.byteLength);
  }

  static native(source) {
    const body = new Body(NATIVE, source, null);
    body.event = currentEvent();
    return body;
  }

  static stream(stream) {
    return new Body(STREAM, stream, knownLength(stream));
  }

  get isUsed() {
    return this.used || (this.kind === STREAM && isDisturbed(this.value));
  }

  get isUnusable() {
    return this.used || (this.kind === STREAM && (this.value.locked || isDisturbed(this.value)));
  }

  // Throws if this is another event's I/O. Content that is at hand belongs to nobody.
  assertOwn() {
    if (this.event !== null) assertSameEvent(this.event, BODY_TYPE);
  }

  // The body as a stream; from now on it is one.
  toStream() {
    if (this.kind === STREAM) return this.value;
    const { kind, value } = this;
    let length = this.length;
    if (kind === NATIVE) {
      const known = op_body_length(value);
      length = known < 0 ? null : known;
    }
    const stream = contentStream(kind, value, this.event, length, wholeStream);
    this.kind = STREAM;
    this.value = stream;
    this.length = length;
    // Consumed without a stream: show one that is closed and disturbed.
    if (this.used) stream.cancel();
    return stream;
  }

  // Gives the whole body away, as { kind, value }. A stream of ours that nobody has read or locked (`new Response(other.body,
  // other)` carries one over) goes as what it was made of.
  spend() {
    let { kind, value, event } = this;
    if (kind === STREAM) {
      const origin = contentOrigin(value);
      if (origin !== undefined && !value.locked && !isDisturbed(value)) {
        readableStreamDisturb(value);
        ({ kind, value, event } = origin);
      }
    }
    if (event !== null) assertSameEvent(event, BODY_TYPE);
    this.used = true;
    return { kind, value };
  }

  // A second body with the same content.
  clone() {
    if (this.kind === TEXT || this.kind === BYTES) return new Body(this.kind, this.value, this.length);
    const stream = this.toStream();
    const [mine, other] = streams.readableStreamTee(stream, true);
    if (this.length !== null) {
      setKnownLength(mine, this.length);
      setKnownLength(other, this.length);
    }
    this.value = mine;
    return Body.stream(other);
  }

  // Everything, as Uint8Array (or the string of a text body), without another copy. Marks the body as used.
  consume() {
    this.assertOwn();
    this.used = true;
    switch (this.kind) {
      case TEXT:
      case BYTES:
        return this.value;
      case NATIVE:
        return op_body_collect_sync(this.value) ?? op_body_collect(this.value);
      default:
        return collect(this.value);
    }
  }
}

// All bytes of a worker's own stream. Beside Uint8Array, as the Fetch Standard has it, buffers and other views are bytes here.
async function collect(stream) {
  const reader = stream.getReader();
  const chunks = [];
  let length = 0;
  while (true) {
    const { value, done } = await reader.read();
    if (done) break;
    let bytes;
    if (ArrayBuffer.isView(value)) bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    else if (core.isAnyArrayBuffer(value)) bytes = new Uint8Array(value);
    else {
      const error = new TypeError("This ReadableStream did not return bytes.");
      reader.cancel(error).catch(() => {});
      throw error;
    }
    chunks.push(bytes);
    length += bytes.byteLength;
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const bytes of chunks) {
    whole.set(bytes, at);
    at += bytes.byteLength;
  }
  return whole;
}

// The stream of content, once somebody reads it.
function wholeStream(kind, value, event) {
  if (kind === NATIVE) return nativeStream(value, event);
  return bytesStream(kind === TEXT ? core.encode(value) : value);
}

// A byte stream over a source outside.
function nativeStream(source, event) {
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      assertSameEvent(event, BODY_TYPE);
      const chunk = await op_body_read(source);
      if (chunk === null) {
        controller.close();
        controller.byobRequest?.respond(0);
        return;
      }
      const view = controller.byobRequest?.view;
      if (view != null && view.byteLength >= chunk.byteLength) {
        new Uint8Array(view.buffer, view.byteOffset, chunk.byteLength).set(chunk);
        controller.byobRequest.respond(chunk.byteLength);
      } else {
        controller.enqueue(chunk);
      }
    },
    cancel() {
      op_body_cancel(source);
    },
  }, { highWaterMark: 0 });
}

function bytesStream(bytes) {
  return new ReadableStream({
    type: "bytes",
    pull(controller) {
      if (bytes.byteLength !== 0) controller.enqueue(bytes.slice());
      controller.close();
      controller.byobRequest?.respond(0);
    },
  }, { highWaterMark: 0 });
}

// Fetch Standard, "extract a body". Returns { body, contentType }.
// An iterable that does not say itself how it is text; arrays do, and are iterated all the same.
function iterates(object) {
  if (typeof (object[SymbolAsyncIterator] ?? object[SymbolIterator]) !== "function") return false;
  return ArrayIsArray(object) || object.toString === ObjectPrototypeToString;
}

function extractBody(object) {
  if (typeof object === "string") {
    boundText(object);
    return { body: Body.text(object.isWellFormed() ? object : object.toWellFormed()), contentType: "text/plain;charset=UTF-8" };
  }
  if (object !== null && typeof object === "object") {
    if (object instanceof ReadableStream) {
      if (object.locked || isDisturbed(object)) {
        throw new TypeError("This ReadableStream is disturbed (has already been read from), and cannot be used as a body.");
      }
      return { body: Body.stream(object), contentType: null };
    }
    if (core.isAnyArrayBuffer(object)) return { body: Body.bytes(new Uint8Array(object.slice(0))), contentType: null };
    if (ArrayBuffer.isView(object)) {
      const view = new Uint8Array(object.buffer, object.byteOffset, object.byteLength);
      return { body: Body.bytes(view.slice()), contentType: null };
    }
    if (object instanceof Blob) return { body: blobBody(object), contentType: object.type || null };
    if (object instanceof URLSearchParams) {
      return { body: Body.text(boundText(object.toString())), contentType: "application/x-www-form-urlencoded;charset=UTF-8" };
    }
    if (object instanceof FormData) {
      const { blob, contentType } = encodeMultipart(object);
      return { body: blobBody(blob), contentType };
    }
    if (iterates(object) && enabled("fetch_iterable_type_support")) {
      return { body: Body.stream(ReadableStream.from(object)), contentType: null };
    }
  }
  return { body: Body.text(boundText(`${object}`).toWellFormed()), contentType: "text/plain;charset=UTF-8" };
}

function blobBody(blob) {
  const stream = blob.stream();
  setKnownLength(stream, blob.size);
  return Body.stream(stream);
}

function toBytes(data) {
  return typeof data === "string" ? core.encode(data) : data;
}

function toText(data) {
  if (typeof data === "string") {
    // A decoder would take a leading byte order mark away.
    return data.charCodeAt(0) === 0xfeff ? data.slice(1) : data;
  }
  return core.decode(data);
}

function toArrayBuffer(data, body) {
  const bytes = toBytes(data);
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  // The bytes of a body that can be cloned must stay as they are.
  return whole && body.kind !== BYTES ? bytes.buffer : bytes.slice().buffer;
}

function parseFormData(data, contentType) {
  const mimeType = contentType === null ? null : mimesniff.parseMimeType(contentType);
  if (mimeType !== null) {
    const essence = mimesniff.essence(mimeType);
    if (essence === "multipart/form-data") {
      const boundary = mimeType.parameters.get("boundary");
      if (boundary === undefined) {
        throw new TypeError("No boundary string in Content-Type header. The Content-Type header must name the boundary string.");
      }
      return decodeMultipart(toBytes(data), boundary);
    }
    if (essence === "application/x-www-form-urlencoded") return decodeUrlEncoded(data);
  }
  throw new TypeError(
    `Unrecognized Content-Type header value. FormData can only parse the following MIME types: ` +
      `multipart/form-data, application/x-www-form-urlencoded. The header is ${contentType === null ? "missing" : `"${contentType}"`}.`,
  );
}

// Adds the mixin's methods to a class. get(this): its Body or null; contentType(this): the header or null.
function mixinBody(prototype, get, contentType) {
  function consume(self, convert, empty) {
    // Getting the body first: a wrong `this` rejects.
    let body;
    try {
      body = get(self);
      if (body === null) return Promise.resolve(empty(self));
      if (body.isUnusable) throw new TypeError(USED);
      const data = body.consume();
      if (typeof data === "string" || ArrayBuffer.isView(data)) return Promise.resolve(convert(data, body, self));
      return data.then((data) => convert(data, body, self));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  const methods = {
    arrayBuffer() {
      return consume(this, toArrayBuffer, () => new ArrayBuffer(0));
    },
    blob() {
      const type = (self) => {
        const header = contentType(self);
        const mimeType = header === null ? null : mimesniff.parseMimeType(header);
        return { type: mimeType === null ? "" : mimesniff.serializeMimeType(mimeType) };
      };
      return consume(this, (data, _body, self) => new Blob([data], type(self)), (self) => new Blob([], type(self)));
    },
    bytes() {
      return consume(this, (data, body) => new Uint8Array(toArrayBuffer(data, body)), () => new Uint8Array());
    },
    formData() {
      return consume(
        this,
        (data, _body, self) => parseFormData(data, contentType(self)),
        (self) => parseFormData("", contentType(self)),
      );
    },
    json() {
      return consume(this, (data) => JSON.parse(toText(data)), () => JSON.parse(""));
    },
    text() {
      return consume(this, toText, () => "");
    },
  };
  for (const name of Object.keys(methods)) {
    Object.defineProperty(prototype, name, { value: methods[name], writable: true, enumerable: true, configurable: true });
  }
  Object.defineProperties(prototype, {
    body: {
      get() {
        const body = get(this);
        return body === null ? null : body.toStream();
      },
      enumerable: true,
      configurable: true,
    },
    bodyUsed: {
      get() {
        const body = get(this);
        return body !== null && body.isUsed;
      },
      enumerable: true,
      configurable: true,
    },
  });
}

return { Body, BYTES, collect, extractBody, knownLength, mixinBody, NATIVE, setKnownLength, STREAM, TEXT, USED };
})();
