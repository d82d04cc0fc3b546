// Deep equality as assert.deepEqual (loose) and assert.deepStrictEqual (strict) have it.

const types = require("util/types");
const { op_get_non_index_property_names } = internal.ops;

// Property filters of the engine.
const ONLY_ENUMERABLE = 2;
const SKIP_SYMBOLS = 16;

const isEnumerable = (object, key) => Object.prototype.propertyIsEnumerable.call(object, key);
const tagOf = (value) => Object.prototype.toString.call(value);
const typedArrayTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;

const isObject = (value) => value !== null && typeof value === "object";
const bothNaN = (a, b) => a !== a && b !== b;

function sameBytes(a, b) {
  if (a.byteLength !== b.byteLength) return false;
  const bytes = (value) => ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);
  const left = bytes(a);
  const right = bytes(b);
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

function sameFloats(a, b) {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function sameBoxed(a, b) {
  for (
    const [is, { prototype }] of [
      [types.isNumberObject, Number], [types.isStringObject, String], [types.isBooleanObject, Boolean],
      [types.isBigIntObject, BigInt], [types.isSymbolObject, Symbol],
    ]
  ) {
    if (is(a)) return is(b) && Object.is(prototype.valueOf.call(a), prototype.valueOf.call(b));
  }
  return false;
}

// Own properties that need no enumeration to count: compared where both have them or both lack them.
function sameHidden(a, b, key, compare) {
  const left = isEnumerable(a, key);
  if (left !== isEnumerable(b, key)) return false;
  return left || compare(a[key], b[key]);
}

const isError = (value) => types.isNativeError(value) || value instanceof Error;

class Comparison {
  // Pairs that are being compared further up: object -> the other, for each side.
  #left = new Map();
  #right = new Map();

  constructor(strict) {
    this.strict = strict;
  }

  equal(a, b) {
    if (a === b) return a !== 0 || !this.strict || Object.is(a, b);
    if (this.strict) {
      if (!isObject(a)) return typeof a === "number" && bothNaN(a, b);
      if (!isObject(b)) return false;
      if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
    } else {
      if (!isObject(a)) return !isObject(b) && (a == b || bothNaN(a, b));
      if (!isObject(b)) return false;
    }
    // There is one global scope; whatever has the same properties is none.
    if (a === globalThis || b === globalThis) return false;
    const tag = tagOf(a);
    if (tag !== tagOf(b)) return false;
    if (Array.isArray(a)) {
      if (!Array.isArray(b) || a.length !== b.length) return false;
      return this.#withKeys(a, b, this.#namedKeys(a), this.#namedKeys(b), this.#items);
    }
    if (tag === "[object Object]" && !isSpecial(a) && !isSpecial(b)) return this.#properties(a, b, null);
    if (types.isDate(a)) {
      const time = Date.prototype.getTime;
      if (!types.isDate(b) || time.call(a) !== time.call(b)) return false;
    } else if (types.isRegExp(a)) {
      if (!types.isRegExp(b) || a.source !== b.source || a.flags !== b.flags || a.lastIndex !== b.lastIndex) return false;
    } else if (isError(a)) {
      const same = (x, y) => x === y;
      const deep = (x, y) => this.equal(x, y);
      if (!isError(b) || !sameHidden(a, b, "message", same) || !sameHidden(a, b, "name", same)) return false;
      if (Object.hasOwn(a, "cause") !== Object.hasOwn(b, "cause") || !sameHidden(a, b, "cause", deep)) return false;
      if (!sameHidden(a, b, "errors", deep)) return false;
    } else if (ArrayBuffer.isView(a)) {
      if (!ArrayBuffer.isView(b) || typedArrayTag.call(a) !== typedArrayTag.call(b)) return false;
      const floats = types.isFloat32Array(a) || types.isFloat64Array(a) || types.isFloat16Array(a);
      if (!this.strict && floats) {
        if (!sameFloats(a, b)) return false;
      } else if (!sameBytes(a, b)) return false;
      return this.#withKeys(a, b, this.#namedKeys(a), this.#namedKeys(b), null);
    } else if (types.isSet(a)) {
      if (!types.isSet(b) || a.size !== b.size) return false;
      return this.#properties(a, b, this.#sets);
    } else if (types.isMap(a)) {
      if (!types.isMap(b) || a.size !== b.size) return false;
      return this.#properties(a, b, this.#maps);
    } else if (types.isAnyArrayBuffer(a)) {
      if (!types.isAnyArrayBuffer(b) || !sameBytes(a, b)) return false;
    } else if (types.isBoxedPrimitive(a)) {
      if (!sameBoxed(a, b)) return false;
    } else if (a instanceof URL) {
      return b instanceof URL && a.href === b.href;
    } else if (types.isKeyObject(a)) {
      if (!types.isKeyObject(b) || !a.equals(b)) return false;
    } else if (types.isCryptoKey(a)) {
      if (!types.isCryptoKey(b)) return false;
      const { KeyObject } = require("crypto");
      if (a.extractable !== b.extractable || !this.equal(a.algorithm, b.algorithm) || !this.equal(a.usages, b.usages)) return false;
      if (!KeyObject.from(a).equals(KeyObject.from(b))) return false;
    } else if (isSpecial(b)) {
      return false;
    }
    return this.#properties(a, b, null);
  }

  // Keys that are no indices.
  #namedKeys(value) {
    return op_get_non_index_property_names(value, this.strict ? ONLY_ENUMERABLE : ONLY_ENUMERABLE | SKIP_SYMBOLS);
  }

  #properties(a, b, elements) {
    const left = Object.keys(a);
    const right = Object.keys(b);
    if (this.strict) {
      left.push(...Object.getOwnPropertySymbols(a).filter((key) => isEnumerable(a, key)));
      right.push(...Object.getOwnPropertySymbols(b).filter((key) => isEnumerable(b, key)));
    }
    return this.#withKeys(a, b, left, right, elements);
  }

  #withKeys(a, b, left, right, elements) {
    if (left.length !== right.length) return false;
    for (const key of left) if (!isEnumerable(b, key)) return false;
    if (left.length === 0 && (elements === null || a.length === 0 || a.size === 0)) return true;
    const known = this.#left.get(a);
    if (known !== undefined) {
      // A circle: equal if the other side closes it in the same place.
      const other = this.#right.get(b);
      if (other !== undefined) return known === other;
    }
    const mark = {};
    const outerLeft = known;
    const outerRight = this.#right.get(b);
    this.#left.set(a, mark);
    this.#right.set(b, mark);
    try {
      if (elements !== null && !elements.call(this, a, b)) return false;
      for (const key of left) if (!this.equal(a[key], b[key])) return false;
      return true;
    } finally {
      if (outerLeft === undefined) this.#left.delete(a);
      else this.#left.set(a, outerLeft);
      if (outerRight === undefined) this.#right.delete(b);
      else this.#right.set(b, outerRight);
    }
  }

  #items(a, b) {
    for (let i = 0; i < a.length; i++) {
      if (Object.hasOwn(a, i)) {
        if (!Object.hasOwn(b, i) || !this.equal(a[i], b[i])) return false;
      } else if (Object.hasOwn(b, i)) {
        return false;
      } else {
        // Sparse: only what is there, or a hole of millions would be walked.
        const keys = Object.keys(a);
        const others = Object.keys(b);
        if (keys.length !== others.length) return false;
        for (let at = i; at < keys.length; at++) {
          if (!Object.hasOwn(b, keys[at]) || !this.equal(a[keys[at]], b[keys[at]])) return false;
        }
        return true;
      }
    }
    return true;
  }

  // Removes one element that equals value; false if there is none.
  #take(set, value) {
    for (const candidate of set) {
      if (this.equal(value, candidate)) {
        set.delete(candidate);
        return true;
      }
    }
    return false;
  }

  #sets(a, b) {
    // What has no identical partner.
    const open = new Set();
    for (const value of a) {
      if (isObject(value)) open.add(value);
      else if (!b.has(value)) {
        if (this.strict || !mayLooselyEqual(value)) return false;
        open.add(value);
      }
    }
    if (open.size === 0) return true;
    for (const value of b) {
      if (isObject(value)) {
        if (open.delete(value)) continue;
        if (!this.#take(open, value)) return false;
      } else if (!this.strict && !a.has(value) && !this.#take(open, value)) return false;
    }
    return open.size === 0;
  }

  #takeEntry(open, a, key, value) {
    for (const candidate of open) {
      if (this.equal(key, candidate) && this.equal(value, a.get(candidate))) {
        open.delete(candidate);
        return true;
      }
    }
    return false;
  }

  #maps(a, b) {
    const open = new Set();
    for (const [key, value] of a) {
      if (isObject(key)) {
        open.add(key);
        continue;
      }
      const other = b.get(key);
      if ((other !== undefined || b.has(key)) && this.equal(value, other)) continue;
      if (this.strict || (!mayLooselyEqual(key) && key != null)) return false;
      open.add(key);
    }
    if (open.size === 0) return true;
    for (const [key, value] of b) {
      if (isObject(key)) {
        if (!this.#takeEntry(open, a, key, value)) return false;
      } else if (!this.strict && (!a.has(key) || !this.equal(a.get(key), value)) && !this.#takeEntry(open, a, key, value)) return false;
    }
    return open.size === 0;
  }
}

// Whether a primitive can equal another primitive with ==.
function mayLooselyEqual(value) {
  switch (typeof value) {
    case "symbol":
      return false;
    case "string":
      return !Number.isNaN(+value);
    case "number":
      return !Number.isNaN(value);
    default:
      return true;
  }
}

// Objects that are more than their properties.
function isSpecial(value) {
  return Array.isArray(value) || ArrayBuffer.isView(value) || types.isSet(value) || types.isMap(value) || types.isDate(value) ||
    types.isRegExp(value) || types.isAnyArrayBuffer(value) || types.isBoxedPrimitive(value) || isError(value);
}

// True if actual has at least what expected has.
function includes(actual, expected, seen) {
  if (!isObject(actual) || !isObject(expected)) return new Comparison(true).equal(actual, expected);
  if (Object.getPrototypeOf(actual) !== Object.getPrototypeOf(expected)) return false;
  if (seen.get(expected) === actual) return true;
  seen.set(expected, actual);
  if (types.isMap(expected)) {
    for (const [key, value] of expected) {
      if (actual.has(key) && includes(actual.get(key), value, seen)) continue;
      if (![...actual].some(([k, v]) => isDeepStrictEqual(k, key) && includes(v, value, seen))) return false;
    }
  } else if (types.isSet(expected)) {
    const open = new Set(actual);
    for (const value of expected) {
      if (open.delete(value)) continue;
      const found = [...open].find((each) => includes(each, value, seen));
      if (found === undefined) return false;
      open.delete(found);
    }
  } else if (Array.isArray(expected)) {
    // Each expected element, in this order, with others between.
    let at = 0;
    for (const value of expected) {
      while (at < actual.length && !includes(actual[at], value, seen)) at++;
      if (at++ >= actual.length) return false;
    }
    return true;
  } else if (isSpecial(expected)) {
    if (!new Comparison(true).equal(actual, expected)) return false;
  }
  return Reflect.ownKeys(expected)
    .filter((key) => isEnumerable(expected, key))
    .every((key) => Object.hasOwn(actual, key) && includes(actual[key], expected[key], seen));
}

function isDeepEqual(a, b) {
  return new Comparison(false).equal(a, b);
}

function isDeepStrictEqual(a, b) {
  return new Comparison(true).equal(a, b);
}

function isPartialStrictEqual(actual, expected) {
  return includes(actual, expected, new Map());
}

module.exports = { isDeepEqual, isDeepStrictEqual, isPartialStrictEqual };
