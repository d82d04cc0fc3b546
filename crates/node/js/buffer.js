// exports: Blob, Buffer, File, INSPECT_MAX_BYTES, SlowBuffer, atob, btoa, constants, isAscii, isUtf8, kMaxLength, kStringMaxLength
// exports: resolveObjectURL, transcode
//
// node:buffer. A Buffer is a Uint8Array of the class FastBuffer; text is converted, searched and compared by Rust
// (src/ops/buffer.rs), everything else here.

const { codes, genericNodeError } = require("internal/errors");
const {
  ERR_BUFFER_OUT_OF_BOUNDS, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_INVALID_BUFFER_SIZE, ERR_OUT_OF_RANGE, ERR_STRING_TOO_LONG,
  ERR_UNKNOWN_ENCODING,
} = codes;
const { validateArray, validateInteger, validateNumber, validateString } = require("internal/validators");
const { inspect } = require("internal/inspect");
const { emitWarning } = require("internal/host_process");
const { methods: numbers } = require("internal/buffer_numbers");
const { isAnyArrayBuffer, isTypedArray, isUint8Array } = require("util/types");
const {
  op_get_non_index_property_names, op_node_buffer_compare, op_node_buffer_decode, op_node_buffer_encode, op_node_buffer_fill,
  op_node_buffer_index_of, op_node_buffer_is_ascii, op_node_buffer_is_utf8, op_node_buffer_swap, op_node_buffer_utf8_length,
  op_node_buffer_write,
} = internal.ops;

// Bytes; characters.
const kMaxLength = 2 ** 53 - 1;
const kStringMaxLength = 2 ** 29 - 24;

const TypedArray = Object.getPrototypeOf(Uint8Array);
const lengthOf = Object.getOwnPropertyDescriptor(TypedArray.prototype, "length").get;
const { fill: fillTyped, set: setTyped } = TypedArray.prototype;

class FastBuffer extends Uint8Array {
  // Without it each construction would go through an iterator.
  constructor(bufferOrLength, byteOffset, length) {
    super(bufferOrLength, byteOffset, length);
  }
}

// What an encoding is: its number in Rust, and the length in bytes of a text.
const ENCODINGS = {
  utf8: { id: 0, byteLength: (text) => op_node_buffer_utf8_length(text) },
  latin1: { id: 1, byteLength: (text) => text.length },
  ascii: { id: 2, byteLength: (text) => text.length },
  utf16le: { id: 3, byteLength: (text) => text.length * 2 },
  base64: { id: 4, byteLength: base64Length },
  base64url: { id: 5, byteLength: base64Length },
  hex: { id: 6, byteLength: (text) => text.length >>> 1 },
};
for (const [name, encoding] of Object.entries(ENCODINGS)) encoding.name = name;

const ALIASES = { __proto__: null, ...ENCODINGS, "utf-8": ENCODINGS.utf8, ucs2: ENCODINGS.utf16le, "ucs-2": ENCODINGS.utf16le, "utf-16le": ENCODINGS.utf16le, binary: ENCODINGS.latin1 };

function encodingOf(name) {
  name = `${name}`;
  return ALIASES[name] ?? ALIASES[name.toLowerCase()];
}

function base64Length(text) {
  let length = text.length;
  if (text.charCodeAt(length - 1) === 0x3d) length--;
  if (length > 1 && text.charCodeAt(length - 1) === 0x3d) length--;
  return Math.floor(length * 3 / 4);
}

// Memory that small buffers share.
let pool = null;
let poolOffset = 0;

function newPool() {
  pool = new FastBuffer(Buffer.poolSize).buffer;
  poolOffset = 0;
}

function allocate(size) {
  if (size <= 0) return new FastBuffer();
  if (size >= Buffer.poolSize >>> 1) return new FastBuffer(size);
  if (pool === null || size > pool.byteLength - poolOffset) newPool();
  const buffer = new FastBuffer(pool, poolOffset, size);
  // The next one begins at a multiple of 8.
  poolOffset = (poolOffset + size + 7) & ~7;
  return buffer;
}

let warnedOfConstructor = false;

function Buffer(value, encodingOrOffset, length) {
  if (!warnedOfConstructor && !insideDependency()) {
    warnedOfConstructor = true;
    emitWarning(
      "Buffer() is deprecated due to security and usability issues. Please use the Buffer.alloc(), Buffer.allocUnsafe(), or Buffer.from() methods instead.",
      "DeprecationWarning",
      "DEP0005",
      Buffer,
    );
  }
  if (typeof value === "number") {
    if (typeof encodingOrOffset === "string") throw new ERR_INVALID_ARG_TYPE("string", "string", value);
    return Buffer.alloc(value);
  }
  return Buffer.from(value, encodingOrOffset, length);
}

// The warning is for a program's own code.
function insideDependency() {
  const { stack } = new Error();
  return /[\\/]node_modules[\\/]/i.test(`${stack}`.split("\n")[3] ?? "");
}

Object.defineProperty(Buffer, Symbol.species, {
  configurable: true,
  enumerable: false,
  get() {
    return FastBuffer;
  },
});

Buffer.poolSize = 8 * 1024;

function fromText(text, encoding) {
  let kind = ENCODINGS.utf8;
  if (typeof encoding === "string" && encoding.length > 0) {
    kind = encodingOf(encoding);
    if (kind === undefined) throw new ERR_UNKNOWN_ENCODING(encoding);
  }
  if (text.length === 0) return new FastBuffer();
  const max = kind.byteLength(text);
  if (max < Buffer.poolSize >>> 1) {
    const buffer = allocate(max);
    const written = op_node_buffer_write(buffer, text, 0, max, kind.id);
    return written === max ? buffer : new FastBuffer(buffer.buffer, buffer.byteOffset, written);
  }
  const bytes = op_node_buffer_encode(text, kind.id);
  return new FastBuffer(bytes.buffer, 0, bytes.length);
}

function fromArrayBuffer(memory, byteOffset, length) {
  if (byteOffset === undefined) byteOffset = 0;
  else {
    byteOffset = +byteOffset;
    if (Number.isNaN(byteOffset)) byteOffset = 0;
  }
  const max = memory.byteLength - byteOffset;
  if (max < 0) throw new ERR_BUFFER_OUT_OF_BOUNDS("offset");
  if (length === undefined) length = max;
  else {
    length = +length;
    if (length > 0) {
      if (length > max) throw new ERR_BUFFER_OUT_OF_BOUNDS("length");
    } else length = 0;
  }
  return new FastBuffer(memory, byteOffset, length);
}

function fromArrayLike(list) {
  if (list.length <= 0) return new FastBuffer();
  if (list.length < Buffer.poolSize >>> 1) {
    const buffer = allocate(list.length);
    setTyped.call(buffer, list, 0);
    return buffer;
  }
  return new FastBuffer(list);
}

function fromObject(object) {
  if (object.length !== undefined || isAnyArrayBuffer(object.buffer)) {
    return typeof object.length === "number" ? fromArrayLike(object) : new FastBuffer();
  }
  if (object.type === "Buffer" && Array.isArray(object.data)) return fromArrayLike(object.data);
  return undefined;
}

Buffer.from = function from(value, encodingOrOffset, length) {
  if (typeof value === "string") return fromText(value, encodingOrOffset);
  if (typeof value === "object" && value !== null) {
    if (isAnyArrayBuffer(value)) return fromArrayBuffer(value, encodingOrOffset, length);
    const primitive = value.valueOf?.();
    if (primitive != null && primitive !== value && (typeof primitive === "string" || typeof primitive === "object")) {
      return from(primitive, encodingOrOffset, length);
    }
    const buffer = fromObject(value);
    if (buffer) return buffer;
    if (typeof value[Symbol.toPrimitive] === "function") {
      const text = value[Symbol.toPrimitive]("string");
      if (typeof text === "string") return fromText(text, encodingOrOffset);
    }
  }
  throw new ERR_INVALID_ARG_TYPE("first argument", ["string", "Buffer", "ArrayBuffer", "Array", "Array-like Object"], value);
};

Buffer.copyBytesFrom = function copyBytesFrom(view, offset, length) {
  if (!isTypedArray(view)) throw new ERR_INVALID_ARG_TYPE("view", ["TypedArray"], view);
  const viewLength = lengthOf.call(view);
  if (viewLength === 0) return Buffer.alloc(0);
  let start = 0;
  let end = viewLength;
  if (offset !== undefined) {
    validateInteger(offset, "offset", 0);
    if (offset >= viewLength) return Buffer.alloc(0);
    start = offset;
  }
  if (length !== undefined) {
    validateInteger(length, "length", 0);
    end = Math.min(start + length, viewLength);
  }
  const part = view.slice(start, end);
  return fromArrayLike(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
};

// Same as TypedArray.of, without its iterator protocol.
Buffer.of = function of(...items) {
  const buffer = Buffer.allocUnsafe(items.length);
  for (let i = 0; i < items.length; i++) buffer[i] = items[i];
  return buffer;
};

function checkSize(size) {
  validateNumber(size, "size", 0, kMaxLength);
}

Buffer.alloc = function alloc(size, fill, encoding) {
  checkSize(size);
  const buffer = new FastBuffer(size);
  return fill !== undefined && fill !== 0 && size > 0 ? fillBuffer(buffer, fill, 0, size, encoding) : buffer;
};

Buffer.allocUnsafe = function allocUnsafe(size) {
  checkSize(size);
  return allocate(size);
};

Buffer.allocUnsafeSlow = function allocUnsafeSlow(size) {
  checkSize(size);
  return new FastBuffer(size);
};

function SlowBuffer(size) {
  checkSize(size);
  return new FastBuffer(size);
}
Object.setPrototypeOf(SlowBuffer.prototype, Uint8Array.prototype);
Object.setPrototypeOf(SlowBuffer, Uint8Array);

Buffer.isBuffer = function isBuffer(value) {
  return value instanceof Buffer;
};

Buffer.isEncoding = function isEncoding(encoding) {
  return typeof encoding === "string" && encoding.length !== 0 && encodingOf(encoding) !== undefined;
};

Buffer.compare = function compare(buf1, buf2) {
  if (!isUint8Array(buf1)) throw new ERR_INVALID_ARG_TYPE("buf1", ["Buffer", "Uint8Array"], buf1);
  if (!isUint8Array(buf2)) throw new ERR_INVALID_ARG_TYPE("buf2", ["Buffer", "Uint8Array"], buf2);
  return buf1 === buf2 ? 0 : op_node_buffer_compare(buf1, buf2);
};

Buffer.concat = function concat(list, length) {
  validateArray(list, "list");
  if (list.length === 0) return new FastBuffer();
  if (length === undefined) {
    length = 0;
    for (const { length: each } of list) if (each) length += each;
  } else {
    validateInteger(length, "length", 0);
  }
  const buffer = Buffer.allocUnsafe(length);
  let at = 0;
  for (let i = 0; i < list.length; i++) {
    const each = list[i];
    if (!isUint8Array(each)) throw new ERR_INVALID_ARG_TYPE(`list[${i}]`, ["Buffer", "Uint8Array"], list[i]);
    at += copyInto(each, buffer, at, 0, each.length);
  }
  // The pool's memory was somebody else's.
  if (at < length) fillTyped.call(buffer, 0, at, length);
  return buffer;
};

function byteLength(value, encoding) {
  if (typeof value !== "string") {
    if (ArrayBuffer.isView(value) || isAnyArrayBuffer(value)) return value.byteLength;
    throw new ERR_INVALID_ARG_TYPE("string", ["string", "Buffer", "ArrayBuffer"], value);
  }
  if (value.length === 0) return 0;
  const kind = encoding ? encodingOf(encoding) ?? ENCODINGS.utf8 : ENCODINGS.utf8;
  return kind.byteLength(value);
}
Buffer.byteLength = byteLength;

const deprecatedGetter = (get) => ({
  enumerable: true,
  get() {
    return this instanceof Buffer ? get(this) : undefined;
  },
});
Object.defineProperty(FastBuffer.prototype, "parent", deprecatedGetter((buffer) => buffer.buffer));
Object.defineProperty(FastBuffer.prototype, "offset", deprecatedGetter((buffer) => buffer.byteOffset));

Buffer.prototype = FastBuffer.prototype;
Object.setPrototypeOf(Buffer, Uint8Array);
Object.defineProperty(FastBuffer.prototype, "constructor", { value: Buffer, writable: true, enumerable: false, configurable: true });
Object.assign(FastBuffer.prototype, numbers);

function decode(buffer, kind, start, end) {
  const text = op_node_buffer_decode(buffer, kind.id, start, end);
  if (text === undefined) throw new ERR_STRING_TOO_LONG(kStringMaxLength);
  return text;
}

// start and end as the methods of one encoding take them: outside of the buffer is an error.
function sliceRange(buffer, start, end) {
  start = start === undefined ? 0 : +start;
  end = end === undefined ? buffer.length : +end;
  if (!(start >= 0) || !(end >= 0)) {
    if (Number.isNaN(start)) start = 0;
    if (Number.isNaN(end)) end = 0;
    if (start < 0 || end < 0) throw new ERR_OUT_OF_RANGE("Index out of range", "", start < 0 ? start : end, true);
  }
  if (end < start) end = start;
  if (end > buffer.length) throw new ERR_OUT_OF_RANGE("Index out of range", "", end, true);
  return [start, end];
}

function writeText(buffer, text, offset, length, kind) {
  if (typeof text !== "string") throw new ERR_INVALID_ARG_TYPE("argument", "string", text);
  return op_node_buffer_write(buffer, text, offset, length, kind.id);
}

for (const [name, kind] of [...Object.entries(ENCODINGS).filter(([name]) => name !== "utf16le"), ["ucs2", ENCODINGS.utf16le]]) {
  FastBuffer.prototype[`${name}Slice`] = {
    [`${name}Slice`](start, end) {
      [start, end] = sliceRange(this, start, end);
      return decode(this, kind, start, end);
    },
  }[`${name}Slice`];
  FastBuffer.prototype[`${name}Write`] = {
    [`${name}Write`](string, offset = 0, length = this.length - offset) {
      if (offset < 0 || offset > this.length) throw new ERR_BUFFER_OUT_OF_BOUNDS("offset");
      if (length < 0 || length > this.length - offset) throw new ERR_BUFFER_OUT_OF_BOUNDS("length");
      return writeText(this, string, offset, length, kind);
    },
  }[`${name}Write`];
}

function toInteger(value, fallback) {
  const number = +value;
  if (!Number.isNaN(number) && number >= Number.MIN_SAFE_INTEGER && number <= Number.MAX_SAFE_INTEGER) {
    return number % 1 === 0 ? number : Math.floor(number);
  }
  return fallback;
}

function copyInto(source, target, targetStart, sourceStart, sourceEnd) {
  const targetLength = lengthOf.call(target) ?? target.byteLength;
  const count = Math.min(sourceEnd - sourceStart, targetLength - targetStart, source.byteLength - sourceStart);
  if (count <= 0) return 0;
  const into = isUint8Array(target) ? target : new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
  const from = new Uint8Array(source.buffer, source.byteOffset + sourceStart, count);
  setTyped.call(into, from, targetStart);
  return count;
}

FastBuffer.prototype.copy = function copy(target, targetStart, sourceStart, sourceEnd) {
  if (!ArrayBuffer.isView(this)) throw new ERR_INVALID_ARG_TYPE("source", ["Buffer", "Uint8Array"], this);
  if (!ArrayBuffer.isView(target)) throw new ERR_INVALID_ARG_TYPE("target", ["Buffer", "Uint8Array"], target);
  if (targetStart === undefined) targetStart = 0;
  else {
    targetStart = toInteger(targetStart, 0);
    if (targetStart < 0) throw new ERR_OUT_OF_RANGE("targetStart", ">= 0", targetStart);
  }
  if (sourceStart === undefined) sourceStart = 0;
  else {
    sourceStart = toInteger(sourceStart, 0);
    if (sourceStart < 0 || sourceStart > this.byteLength) throw new ERR_OUT_OF_RANGE("sourceStart", `>= 0 && <= ${this.byteLength}`, sourceStart);
  }
  if (sourceEnd === undefined) sourceEnd = this.byteLength;
  else {
    sourceEnd = toInteger(sourceEnd, 0);
    if (sourceEnd < 0) throw new ERR_OUT_OF_RANGE("sourceEnd", ">= 0", sourceEnd);
  }
  if (targetStart >= target.byteLength || sourceStart >= sourceEnd) return 0;
  return copyInto(this, target, targetStart, sourceStart, sourceEnd);
};

FastBuffer.prototype.toString = function toString(encoding, start, end) {
  if (arguments.length === 0) return decode(this, ENCODINGS.utf8, 0, this.length);
  const { length } = this;
  if (start <= 0) start = 0;
  else if (start >= length) return "";
  else start = Math.trunc(start) || 0;
  if (end === undefined || end > length) end = length;
  else end = Math.trunc(end) || 0;
  if (end <= start) return "";
  if (encoding === undefined) return decode(this, ENCODINGS.utf8, start, end);
  const kind = encodingOf(encoding);
  if (kind === undefined) throw new ERR_UNKNOWN_ENCODING(encoding);
  return decode(this, kind, start, end);
};
FastBuffer.prototype.toLocaleString = FastBuffer.prototype.toString;

FastBuffer.prototype.equals = function equals(otherBuffer) {
  if (!isUint8Array(otherBuffer)) throw new ERR_INVALID_ARG_TYPE("otherBuffer", ["Buffer", "Uint8Array"], otherBuffer);
  if (this === otherBuffer) return true;
  return this.byteLength === otherBuffer.byteLength && op_node_buffer_compare(this, otherBuffer) === 0;
};

let INSPECT_MAX_BYTES = 50;

FastBuffer.prototype[inspect.custom] = function (_depth, context) {
  const shown = Math.min(INSPECT_MAX_BYTES, this.length);
  const rest = this.length - INSPECT_MAX_BYTES;
  let text = decode(this, ENCODINGS.hex, 0, shown).replace(/(.{2})/g, "$1 ").trim();
  if (rest > 0) text += ` ... ${rest} more byte${rest > 1 ? "s" : ""}`;
  if (context) {
    const extra = { __proto__: null };
    let any = false;
    for (const key of op_get_non_index_property_names(this, context.showHidden ? 0 : 2)) {
      any = true;
      extra[key] = this[key];
    }
    if (any) {
      if (this.length !== 0) text += ", ";
      // Without the braces and what stands before them.
      text += inspect(extra, { ...context, breakLength: Infinity, compact: true }).slice(27, -2);
    }
  }
  let name = "Buffer";
  try {
    const { constructor } = this;
    if (typeof constructor === "function" && Object.hasOwn(constructor, "name")) name = constructor.name;
  } catch {
    // A getter of the program's own; the name stays.
  }
  return `<${name} ${text}>`;
};
FastBuffer.prototype.inspect = FastBuffer.prototype[inspect.custom];

function checkedOffset(value, name, min = 0, max = kMaxLength) {
  validateInteger(value, name, min, max);
}

FastBuffer.prototype.compare = function compare(target, targetStart, targetEnd, sourceStart, sourceEnd) {
  if (!isUint8Array(target)) throw new ERR_INVALID_ARG_TYPE("target", ["Buffer", "Uint8Array"], target);
  if (arguments.length === 1) return op_node_buffer_compare(this, target);
  if (targetStart === undefined) targetStart = 0;
  else checkedOffset(targetStart, "targetStart");
  if (targetEnd === undefined) targetEnd = target.length;
  else checkedOffset(targetEnd, "targetEnd", 0, target.length);
  if (sourceStart === undefined) sourceStart = 0;
  else checkedOffset(sourceStart, "sourceStart");
  if (sourceEnd === undefined) sourceEnd = this.length;
  else checkedOffset(sourceEnd, "sourceEnd", 0, this.length);
  if (sourceStart >= sourceEnd) return targetStart >= targetEnd ? 0 : -1;
  if (targetStart >= targetEnd) return 1;
  return op_node_buffer_compare(this.subarray(sourceStart, sourceEnd), target.subarray(targetStart, targetEnd));
};

// Where a search begins; -1 if it cannot find anything.
function searchStart(length, offset, needleLength, forward) {
  if (offset < 0) {
    if (offset + length >= 0) return length + offset;
    return forward || needleLength === 0 ? 0 : -1;
  }
  if (offset + needleLength <= length) return offset;
  if (needleLength === 0) return length;
  return forward ? -1 : length - 1;
}

function search(buffer, value, byteOffset, encoding, forward) {
  if (!ArrayBuffer.isView(buffer)) throw new ERR_INVALID_ARG_TYPE("buffer", ["Buffer", "TypedArray", "DataView"], buffer);
  if (typeof byteOffset === "string") {
    encoding = byteOffset;
    byteOffset = undefined;
  } else if (byteOffset > 0x7fffffff) byteOffset = 0x7fffffff;
  else if (byteOffset < -0x80000000) byteOffset = -0x80000000;
  byteOffset = +byteOffset;
  if (Number.isNaN(byteOffset)) byteOffset = forward ? 0 : buffer.length || buffer.byteLength;
  byteOffset = Math.trunc(byteOffset);
  const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  let needle;
  let wide = false;
  if (typeof value === "number") {
    needle = new Uint8Array([value]);
  } else {
    const kind = encoding === undefined ? ENCODINGS.utf8 : encodingOf(encoding);
    if (typeof value === "string") {
      if (kind === undefined) throw new ERR_UNKNOWN_ENCODING(encoding);
      needle = op_node_buffer_encode(value, kind.id);
    } else if (isUint8Array(value)) needle = value;
    else throw new ERR_INVALID_ARG_TYPE("value", ["number", "string", "Buffer", "Uint8Array"], value);
    wide = kind === ENCODINGS.utf16le;
  }
  const { length } = bytes;
  const start = searchStart(length, byteOffset, needle.length, forward);
  if (start < 0) return -1;
  if (needle.length === 0) return start;
  if (length === 0 || needle.length > length || (forward && needle.length + start > length)) return -1;
  if (wide && (length < 2 || needle.length < 2)) return -1;
  return op_node_buffer_index_of(bytes, needle, start, forward, wide);
}

FastBuffer.prototype.indexOf = function indexOf(value, byteOffset, encoding) {
  return search(this, value, byteOffset, encoding, true);
};

FastBuffer.prototype.lastIndexOf = function lastIndexOf(value, byteOffset, encoding) {
  return search(this, value, byteOffset, encoding, false);
};

FastBuffer.prototype.includes = function includes(value, byteOffset, encoding) {
  return this.indexOf(value, byteOffset, encoding) !== -1;
};

FastBuffer.prototype.fill = function fill(value, offset, end, encoding) {
  return fillBuffer(this, value, offset, end, encoding);
};

function fillBuffer(buffer, value, offset, end, encoding) {
  let pattern = null;
  if (typeof value === "string") {
    if (offset === undefined || typeof offset === "string") {
      encoding = offset;
      offset = undefined;
    } else if (typeof end === "string") {
      encoding = end;
      end = undefined;
    }
    let kind = ENCODINGS.utf8;
    if (encoding !== undefined) {
      validateString(encoding, "encoding");
      kind = encoding === "" ? kind : encodingOf(encoding);
      if (kind === undefined) throw new ERR_UNKNOWN_ENCODING(encoding);
    }
    if (value.length === 0) value = 0;
    else pattern = op_node_buffer_encode(value, kind.id);
  } else if (typeof value === "boolean") {
    value = +value;
  }
  if (offset === undefined) {
    offset = 0;
    end = buffer.length;
  } else {
    validateNumber(offset, "offset", 0);
    if (end === undefined) end = buffer.length;
    else validateNumber(end, "end", 0, buffer.length);
    if (offset >= end) return buffer;
  }
  if (pattern === null && ArrayBuffer.isView(value)) pattern = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (pattern === null) {
    // A length of the program's own making is not the buffer's.
    const length = lengthOf.call(buffer);
    if (offset > end || end > length) throw new ERR_BUFFER_OUT_OF_BOUNDS();
    fillTyped.call(buffer, typeof value === "number" ? value : value & 255, offset, end);
    return buffer;
  }
  if (end > lengthOf.call(buffer)) throw new ERR_BUFFER_OUT_OF_BOUNDS();
  if (pattern.length === 0) throw new ERR_INVALID_ARG_VALUE("value", value);
  op_node_buffer_fill(buffer, pattern, offset, end);
  return buffer;
}

FastBuffer.prototype.write = function write(string, offset, length, encoding) {
  if (offset === undefined) return writeText(this, string, 0, this.length, ENCODINGS.utf8);
  if (length === undefined && typeof offset === "string") {
    encoding = offset;
    length = this.length;
    offset = 0;
  } else {
    checkedOffset(offset, "offset", 0, this.length);
    const rest = this.length - offset;
    if (length === undefined) length = rest;
    else if (typeof length === "string") {
      encoding = length;
      length = rest;
    } else {
      checkedOffset(length, "length", 0, this.length);
      if (length > rest) length = rest;
    }
  }
  const kind = encoding ? encodingOf(encoding) : ENCODINGS.utf8;
  if (kind === undefined) throw new ERR_UNKNOWN_ENCODING(encoding);
  return writeText(this, string, offset, length, kind);
};

FastBuffer.prototype.toJSON = function toJSON() {
  return { type: "Buffer", data: this.length > 0 ? Array.from(this) : [] };
};

// subarray with the start and end of Array's slice: the same memory.
function adjusted(offset, length) {
  offset = Math.trunc(offset);
  if (offset === 0 || Number.isNaN(offset)) return 0;
  if (offset < 0) {
    offset += length;
    return offset > 0 ? offset : 0;
  }
  return offset < length ? offset : length;
}

FastBuffer.prototype.subarray = function subarray(start, end) {
  const length = this.length;
  start = adjusted(start, length);
  end = end !== undefined ? adjusted(end, length) : length;
  return new FastBuffer(this.buffer, this.byteOffset + start, end > start ? end - start : 0);
};

FastBuffer.prototype.slice = function slice(start, end) {
  return this.subarray(start, end);
};

for (const bits of [16, 32, 64]) {
  FastBuffer.prototype[`swap${bits}`] = {
    [`swap${bits}`]() {
      if (this.length % (bits / 8) !== 0) throw new ERR_INVALID_BUFFER_SIZE(`${bits}-bits`);
      op_node_buffer_swap(this, bits / 8);
      return this;
    },
  }[`swap${bits}`];
}

// Characters that the target encoding lacks become question marks.
function transcode(source, fromEncoding, toEncoding) {
  if (!isUint8Array(source)) throw new ERR_INVALID_ARG_TYPE("source", ["Buffer", "Uint8Array"], source);
  if (source.length === 0) return Buffer.alloc(0);
  const from = encodingOf(fromEncoding);
  const to = encodingOf(toEncoding);
  const known = ["ascii", "latin1", "utf16le", "utf8"];
  if (!known.includes(from?.name) || !known.includes(to?.name)) {
    throw genericNodeError("Unable to transcode Buffer [U_ILLEGAL_ARGUMENT_ERROR]", { code: "U_ILLEGAL_ARGUMENT_ERROR", errno: 1 });
  }
  const text = decode(source, from, 0, source.length);
  const max = { ascii: 0x7f, latin1: 0xff }[to.name];
  if (max === undefined) return fromText(text, to.name);
  return Buffer.from(Array.from(text, (char) => char.codePointAt(0) <= max ? char.codePointAt(0) : 0x3f));
}

function checkBytes(input) {
  if (!ArrayBuffer.isView(input) && !isAnyArrayBuffer(input)) {
    throw new ERR_INVALID_ARG_TYPE("input", ["ArrayBuffer", "Buffer", "TypedArray"], input);
  }
  if ((isAnyArrayBuffer(input) ? input : input.buffer).detached) {
    throw new codes.ERR_INVALID_STATE("Cannot validate on a detached buffer");
  }
  return ArrayBuffer.isView(input) ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength) : new Uint8Array(input);
}

function isUtf8(input) {
  return op_node_buffer_is_utf8(checkBytes(input));
}

function isAscii(input) {
  return op_node_buffer_is_ascii(checkBytes(input));
}

// A worker's blobs have no URLs.
function resolveObjectURL(id) {
  validateString(`${id}`, "id");
  return undefined;
}

module.exports = {
  atob: globalThis.atob,
  Blob: globalThis.Blob,
  btoa: globalThis.btoa,
  Buffer,
  constants: Object.defineProperties({}, {
    MAX_LENGTH: { value: kMaxLength, writable: false, enumerable: true, configurable: false },
    MAX_STRING_LENGTH: { value: kStringMaxLength, writable: false, enumerable: true, configurable: false },
  }),
  File: globalThis.File,
  isAscii,
  isUtf8,
  kMaxLength,
  kStringMaxLength,
  resolveObjectURL,
  SlowBuffer,
  transcode,
};

Object.defineProperty(module.exports, "INSPECT_MAX_BYTES", {
  configurable: true,
  enumerable: true,
  get() {
    return INSPECT_MAX_BYTES;
  },
  set(value) {
    validateNumber(value, "INSPECT_MAX_BYTES", 0);
    INSPECT_MAX_BYTES = value;
  },
});
