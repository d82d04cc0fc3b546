// exports: StringDecoder
//
// Text from bytes that come in pieces: what is left of a character waits for the next piece.

const { codes: { ERR_INVALID_ARG_TYPE, ERR_INVALID_THIS, ERR_UNKNOWN_ENCODING } } = require("internal/errors");
const { Buffer } = require("buffer");

const NAMES = {
  __proto__: null,
  utf8: "utf8", "utf-8": "utf8",
  ucs2: "utf16le", "ucs-2": "utf16le", utf16le: "utf16le", "utf-16le": "utf16le",
  latin1: "latin1", binary: "latin1", ascii: "ascii", hex: "hex", base64: "base64", base64url: "base64url",
};

const kBytes = Symbol("bytes");
const kEncoding = Symbol("encoding");
const kMissing = Symbol("missing");

function StringDecoder(encoding) {
  const name = encoding === undefined || encoding === null || encoding === "" ? "utf8" : NAMES[`${encoding}`.toLowerCase()];
  if (name === undefined) throw new ERR_UNKNOWN_ENCODING(encoding);
  this.encoding = name;
  this[kEncoding] = name;
  // The bytes of an unfinished character.
  this[kBytes] = [];
  this[kMissing] = 0;
}

// How many bytes at the end of buffer belong to a character that is not finished, and how many it lacks.
function unfinished(buffer, encoding, heldBefore) {
  const { length } = buffer;
  switch (encoding) {
    case "utf8":
      for (let back = 1; back <= Math.min(3, length); back++) {
        const byte = buffer[length - back];
        // A byte that continues; look further back for the first.
        if ((byte & 0xc0) === 0x80) continue;
        const size = (byte & 0xe0) === 0xc0 ? 2 : (byte & 0xf0) === 0xe0 ? 3 : (byte & 0xf8) === 0xf0 ? 4 : 1;
        if (size <= back) return [0, 0];
        return [back, size - back];
      }
      return [0, 0];
    case "utf16le": {
      const odd = length % 2;
      const whole = length - odd;
      // A high surrogate waits for its other half.
      const high = whole >= 2 && (buffer[whole - 1] & 0xfc) === 0xd8;
      if (odd === 0) return high ? [2, 2] : [0, 0];
      // One that waited already goes on to wait; one that came with half a unit behind it does not begin to.
      return high && whole === 2 && heldBefore >= 2 ? [3, 1] : [1, 1];
    }
    case "base64":
    case "base64url": {
      const rest = length % 3;
      return rest === 0 ? [0, 0] : [rest, 3 - rest];
    }
    default:
      return [0, 0];
  }
}

function check(decoder) {
  if (decoder?.[kEncoding] === undefined) throw new ERR_INVALID_THIS("StringDecoder");
}

StringDecoder.prototype.write = function write(chunk) {
  if (typeof chunk === "string") return chunk;
  if (!ArrayBuffer.isView(chunk)) throw new ERR_INVALID_ARG_TYPE("buf", ["Buffer", "TypedArray", "DataView"], chunk);
  check(this);
  let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (bytes.length === 0) return "";
  const heldBefore = this[kBytes].length;
  if (heldBefore > 0) bytes = Buffer.concat([Buffer.from(this[kBytes]), bytes]);
  const [held, missing] = unfinished(bytes, this[kEncoding], heldBefore);
  this[kBytes] = [...bytes.subarray(bytes.length - held)];
  this[kMissing] = missing;
  return bytes.toString(this[kEncoding], 0, bytes.length - held);
};

StringDecoder.prototype.end = function end(chunk) {
  check(this);
  const text = chunk === undefined ? "" : this.write(chunk);
  // Half a unit of UTF-16 is nothing.
  const whole = this[kEncoding] === "utf16le" ? this[kBytes].length & ~1 : this[kBytes].length;
  const rest = Buffer.from(this[kBytes].slice(0, whole));
  this[kBytes] = [];
  this[kMissing] = 0;
  return text + rest.toString(this[kEncoding]);
};

// Bytes as text at once, from offset on; what waits is not part of it.
StringDecoder.prototype.text = function text(chunk, offset) {
  this[kBytes] = [];
  this[kMissing] = 0;
  return this.write(chunk.slice(offset));
};

Object.defineProperties(StringDecoder.prototype, {
  lastChar: {
    configurable: true,
    enumerable: true,
    get() {
      const last = Buffer.alloc(4);
      last.set(this[kBytes]);
      return last;
    },
  },
  lastNeed: {
    configurable: true,
    enumerable: true,
    get() {
      return this[kMissing];
    },
  },
  lastTotal: {
    configurable: true,
    enumerable: true,
    get() {
      return this[kBytes].length + this[kMissing];
    },
  },
});

module.exports = { StringDecoder };
