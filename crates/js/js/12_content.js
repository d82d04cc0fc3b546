// Streams of bodies that are at hand or come from outside. Such a stream is made in full only when somebody reads it.
//
// `new Response(other.body, other)` is how a response is changed that cannot be changed, and what routers do for every header
// that a middleware adds after the handler. All it asks of the stream is whether it is locked or disturbed, and what leaves in
// the end is the content (`origin`): the controller, its queues and promises, the larger part of what a stream costs, were made
// for nobody.
//
// Such a stream is an object like others of its class, but for two fields that are missing until they are looked at: then
// accessors of the prototype make them, and own fields hide these from then on. What other streams do is not touched: they have
// own fields from their beginning.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { ReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");

// As they are before the worker's first line.
const { defineProperty, hasOwn } = Object;

const BRAND = webidl.brand;
const CLOSED = Symbol.for("nodejs.webstream.isClosedPromise");
const ON_ERROR = Symbol.for("nodejs.webstream.controllerErrorFunction");

// The fields of `object` with these descriptions.
function fields(object, ...descriptions) {
  const symbols = Object.getOwnPropertySymbols(object);
  return descriptions.map((description) => symbols.find((symbol) => symbol.description === description));
}

const sample = new ReadableStream({ type: "bytes" });
const [CONTROLLER, DETACHED, DISTURBED, READER, STATE, ERROR, BACKING] = fields(
  sample,
  "[[controller]]",
  "[[Detached]]",
  "[[disturbed]]",
  "[[reader]]",
  "[[state]]",
  "[[storedError]]",
  "[[resourceBacking]]",
);
const [STREAM] = fields(sample[CONTROLLER], "[[stream]]");

// As the class's constructor leaves it, without what is made later.
function Bare() {
  this[DETACHED] = undefined;
  this[DISTURBED] = false;
  this[READER] = undefined;
  this[STATE] = "readable";
  this[ERROR] = undefined;
  this[BACKING] = null;
  this[core.hostObjectBrand] = "ReadableStream";
  this[BRAND] = BRAND;
}
Bare.prototype = ReadableStream.prototype;

// Has private fields put on an object of another class.
class Given {
  constructor(object) {
    return object;
  }
}

class Content extends Given {
  // What the stream is made of, as a body has it (12_body.js), and a function that makes a stream of the same.
  #kind;
  #value;
  #event;
  #length;
  #make;

  constructor(kind, value, event, length, make) {
    super(new Bare());
    this.#kind = kind;
    this.#value = value;
    this.#event = event;
    this.#length = length;
    this.#make = make;
  }

  // { kind, value, event } of such a stream, undefined of others.
  static origin(stream) {
    if (!(#kind in stream)) return undefined;
    return { kind: stream.#kind, value: stream.#value, event: stream.#event };
  }

  // Bytes of such a stream; null where unknown, undefined of others.
  static length(stream) {
    return #kind in stream ? stream.#length : undefined;
  }

  // Makes what is missing.
  static complete(stream) {
    if (stream === null || typeof stream !== "object" || !(#kind in stream) || stream.#make === null) return;
    const make = stream.#make;
    stream.#make = null;
    const whole = make(stream.#kind, stream.#value, stream.#event);
    whole[CONTROLLER][STREAM] = stream;
    for (const field of [CONTROLLER, CLOSED, ON_ERROR]) define(stream, field, whole[field]);
  }
}

const { origin, length, complete } = Content;

function define(stream, field, value) {
  defineProperty(stream, field, { value, writable: true, enumerable: true, configurable: true });
}

for (const field of [CONTROLLER, CLOSED]) {
  defineProperty(ReadableStream.prototype, field, {
    get() {
      complete(this);
      return hasOwn(this, field) ? this[field] : undefined;
    },
    set(value) {
      define(this, field, value);
    },
    configurable: true,
  });
}

// make(kind, value, event): a stream in full, of which nothing has been read.
function contentStream(kind, value, event, length, make) {
  return new Content(kind, value, event, length, make);
}

// As the streams' own function has it, which looks at the controller, too.
function isDisturbed(stream) {
  return stream[DISTURBED];
}

return { contentLength: length, contentOrigin: origin, contentStream, isDisturbed };
})();
