// Buffer's methods that read and write numbers.

const { codes: { ERR_BUFFER_OUT_OF_BOUNDS, ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE } } = require("internal/errors");
const { validateNumber } = require("internal/validators");

// Says what is wrong with an offset at which there are no bytes.
function boundsError(value, length, name = undefined) {
  if (Math.floor(value) !== value) {
    validateNumber(value, name);
    throw new ERR_OUT_OF_RANGE(name ?? "offset", "an integer", value);
  }
  if (length < 0) throw new ERR_BUFFER_OUT_OF_BOUNDS();
  throw new ERR_OUT_OF_RANGE(name ?? "offset", `>= ${name === undefined ? 0 : 1} and <= ${length}`, value);
}

function checkOffset(buffer, offset, size) {
  validateNumber(offset, "offset");
  if (buffer[offset] === undefined || buffer[offset + size - 1] === undefined) boundsError(offset, buffer.length - size);
}

function checkRange(value, min, max, size, variable = false) {
  if (value <= max && value >= min) return;
  if (value !== value) return;
  const n = typeof min === "bigint" ? "n" : "";
  let range;
  // Long limits are told as powers of two.
  if (n !== "" || (variable && size > 4)) {
    range = min === 0 || min === 0n
      ? `>= 0${n} and < 2${n} ** ${size * 8}${n}`
      : `>= -(2${n} ** ${size * 8 - 1}${n}) and < 2${n} ** ${size * 8 - 1}${n}`;
  } else range = `>= ${min}${n} and <= ${max}${n}`;
  throw new ERR_OUT_OF_RANGE("value", range, value);
}

const view = (buffer) => new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);

const methods = {};

function define(name, method, length) {
  Object.defineProperty(method, "name", { value: name });
  Object.defineProperty(method, "length", { value: length });
  methods[name] = method;
  // readUint8 is another name of readUInt8.
  if (name.includes("UInt")) methods[name.replace("UInt", "Uint")] = method;
}

function defineFixed(name, size, getter, setter, { min, max, convert }) {
  for (const order of size === 1 ? [""] : ["LE", "BE"]) {
    const little = order === "LE";
    define(`read${name}${order}`, function (offset = 0) {
      checkOffset(this, offset, size);
      return view(this)[getter](offset, little);
    }, 0);
    define(`write${name}${order}`, function (value, offset = 0) {
      value = convert(value);
      if (min !== undefined) {
        // A wrong offset is told before a wrong value only for single bytes.
        if (size === 1) validateNumber(offset, "offset");
        checkRange(value, min, max, size);
      }
      checkOffset(this, offset, size);
      view(this)[setter](offset, value, little);
      return offset + size;
    }, 1);
  }
}

const number = (value) => +value;
const big = (value) => {
  if (typeof value !== "bigint") throw new TypeError(`Cannot mix BigInt and other types, use explicit conversions`);
  return value;
};

defineFixed("UInt8", 1, "getUint8", "setUint8", { min: 0, max: 0xff, convert: number });
defineFixed("Int8", 1, "getInt8", "setInt8", { min: -0x80, max: 0x7f, convert: number });
defineFixed("UInt16", 2, "getUint16", "setUint16", { min: 0, max: 0xffff, convert: number });
defineFixed("Int16", 2, "getInt16", "setInt16", { min: -0x8000, max: 0x7fff, convert: number });
defineFixed("UInt32", 4, "getUint32", "setUint32", { min: 0, max: 0xffffffff, convert: number });
defineFixed("Int32", 4, "getInt32", "setInt32", { min: -0x80000000, max: 0x7fffffff, convert: number });
defineFixed("BigUInt64", 8, "getBigUint64", "setBigUint64", { min: 0n, max: 0xffffffffffffffffn, convert: big });
defineFixed("BigInt64", 8, "getBigInt64", "setBigInt64", { min: -0x8000000000000000n, max: 0x7fffffffffffffffn, convert: big });
defineFixed("Float", 4, "getFloat32", "setFloat32", { convert: number });
defineFixed("Double", 8, "getFloat64", "setFloat64", { convert: number });

function checkLength(byteLength) {
  if (byteLength === undefined) throw new ERR_INVALID_ARG_TYPE("byteLength", "number", byteLength);
  if (!(byteLength >= 1 && byteLength <= 6) || Math.floor(byteLength) !== byteLength) boundsError(byteLength, 6, "byteLength");
}

// Integers of 1 to 6 bytes.
for (const signed of [false, true]) {
  for (const order of ["LE", "BE"]) {
    const little = order === "LE";
    const name = `${signed ? "Int" : "UInt"}${order}`;
    define(`read${name}`, function (offset, byteLength) {
      if (offset === undefined) throw new ERR_INVALID_ARG_TYPE("offset", "number", offset);
      checkLength(byteLength);
      checkOffset(this, offset, byteLength);
      let value = 0;
      for (let i = 0; i < byteLength; i++) value = value * 256 + this[offset + (little ? byteLength - 1 - i : i)];
      return signed && value >= 2 ** (byteLength * 8 - 1) ? value - 2 ** (byteLength * 8) : value;
    }, 2);
    define(`write${name}`, function (value, offset, byteLength) {
      checkLength(byteLength);
      value = +value;
      const limit = 2 ** (byteLength * 8);
      const [min, max] = signed ? [-limit / 2, limit / 2 - 1] : [0, limit - 1];
      if (offset === undefined) throw new ERR_INVALID_ARG_TYPE("offset", "number", offset);
      if (byteLength === 1) validateNumber(offset, "offset");
      checkRange(value, min, max, byteLength, true);
      checkOffset(this, offset, byteLength);
      let rest = Math.trunc(value) || 0;
      if (rest < 0) rest += limit;
      for (let i = 0; i < byteLength; i++) {
        this[offset + (little ? i : byteLength - 1 - i)] = rest % 256;
        rest = Math.floor(rest / 256);
      }
      return offset + byteLength;
    }, 3);
  }
}

module.exports = { methods };
