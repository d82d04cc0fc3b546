// node:stream: the library's, and what Node has beside it.

const { load } = require("internal/streams/library");
const { AbortError } = require("internal/streams/errors");
const { Buffer } = require("buffer");

// ---- what Node 20 has beyond the library; before Duplex takes over the methods of both

const Readable = load("lib/internal/streams/readable");
const Writable = load("lib/internal/streams/writable");

// Any view of bytes is a chunk, not only Uint8Array.
function asBytes(state, chunk) {
  if (!ArrayBuffer.isView(chunk) || chunk instanceof Uint8Array || state?.objectMode) return chunk;
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

for (const name of ["push", "unshift"]) {
  const original = Readable.prototype[name];
  Readable.prototype[name] = {
    [name](chunk, encoding) {
      return Reflect.apply(original, this, [asBytes(this._readableState, chunk), encoding]);
    },
  }[name];
}

const { end, write } = Writable.prototype;

Writable.prototype.write = function (chunk, encoding, callback) {
  return Reflect.apply(write, this, [asBytes(this._writableState, chunk), encoding, callback]);
};

// Its callback gets null where nothing went wrong.
function withNull(callback) {
  return typeof callback === "function" ? (error) => callback(error ?? null) : callback;
}

Writable.prototype.end = function (chunk, encoding, callback) {
  if (typeof chunk === "function") chunk = withNull(chunk);
  if (typeof encoding === "function") encoding = withNull(encoding);
  return Reflect.apply(end, this, [asBytes(this._writableState, chunk), encoding, withNull(callback)]);
};

Writable.prototype[Symbol.asyncDispose] = async function () {
  let error = null;
  if (!this.destroyed) {
    if (!this.writableFinished) error = new AbortError();
    this.destroy(error);
  }
  await new Promise((resolve, reject) => {
    Stream.finished(this, (thrown) => thrown && thrown !== error ? reject(thrown) : resolve(null));
  });
};

const Stream = load("lib/stream");
const { Duplex } = Stream;

Stream._isArrayBufferView = ArrayBuffer.isView;
Stream._uint8ArrayToBuffer = (chunk) => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);

const kCallback = Symbol("Callback");
const kOther = Symbol("Other");

// One end of a pair: what is written to the other is read here.
class DuplexSide extends Duplex {
  constructor(options) {
    super(options);
    this[kCallback] = null;
    this[kOther] = null;
  }

  _read() {
    const callback = this[kCallback];
    if (callback) {
      this[kCallback] = null;
      callback();
    }
  }

  _write(chunk, _encoding, callback) {
    if (chunk.length === 0) {
      require("internal/next_tick").nextTick(callback);
      return;
    }
    this[kOther].push(chunk);
    this[kOther][kCallback] = callback;
  }

  _final(callback) {
    this[kOther].on("end", callback);
    this[kOther].push(null);
  }
}

Stream.duplexPair = function duplexPair(options = undefined) {
  const one = new DuplexSide(options);
  const two = new DuplexSide(options);
  one[kOther] = two;
  two[kOther] = one;
  return [one, two];
};

require("internal/streams/adapters").install(Stream);

module.exports = Stream;
