// exports: isAnyArrayBuffer, isArgumentsObject, isArrayBuffer, isArrayBufferView, isAsyncFunction, isBigInt64Array, isBigIntObject
// exports: isBigUint64Array, isBooleanObject, isBoxedPrimitive, isCryptoKey, isDataView, isDate, isExternal
// exports: isFloat16Array, isFloat32Array, isFloat64Array, isGeneratorFunction, isGeneratorObject, isInt16Array, isInt32Array
// exports: isInt8Array, isKeyObject, isMap, isMapIterator, isModuleNamespaceObject, isNativeError, isNumberObject, isPromise
// exports: isProxy, isRegExp, isSet, isSetIterator, isSharedArrayBuffer, isStringObject, isSymbolObject, isTypedArray
// exports: isUint16Array, isUint32Array, isUint8Array, isUint8ClampedArray, isWeakMap, isWeakSet
//
// Questions to the engine about a value's internal class; no property of the value is read.

const { core } = internal;

const TypedArray = Object.getPrototypeOf(Uint8Array);
const tagOf = Object.getOwnPropertyDescriptor(TypedArray.prototype, Symbol.toStringTag).get;

// "Uint8Array" and so on; undefined if value is no typed array.
function tag(value) {
  return Reflect.apply(tagOf, value, []);
}

const types = {
  isAnyArrayBuffer: core.isAnyArrayBuffer,
  isArgumentsObject: core.isArgumentsObject,
  isArrayBuffer: core.isArrayBuffer,
  isArrayBufferView: ArrayBuffer.isView,
  isAsyncFunction: core.isAsyncFunction,
  isBigIntObject: core.isBigIntObject,
  isBooleanObject: core.isBooleanObject,
  isBoxedPrimitive: core.isBoxedPrimitive,
  isCryptoKey: (value) => value !== null && typeof value === "object" && CryptoKey.prototype.isPrototypeOf(value),
  isDataView: core.isDataView,
  isDate: core.isDate,
  // Nothing here hands out native pointers.
  isExternal: (_value) => false,
  isGeneratorFunction: core.isGeneratorFunction,
  isGeneratorObject: core.isGeneratorObject,
  isKeyObject: (value) => {
    // Whoever has a key has loaded the module; nobody else shall.
    if (value === null || typeof value !== "object" || !/KeyObject$/.test(value.constructor?.name)) return false;
    const { KeyObject } = require("crypto");
    return typeof KeyObject === "function" && value instanceof KeyObject;
  },
  isMap: core.isMap,
  isMapIterator: core.isMapIterator,
  isModuleNamespaceObject: core.isModuleNamespaceObject,
  isNativeError: core.isNativeError,
  isNumberObject: core.isNumberObject,
  isPromise: core.isPromise,
  isProxy: core.isProxy,
  isRegExp: core.isRegExp,
  isSet: core.isSet,
  isSetIterator: core.isSetIterator,
  isSharedArrayBuffer: core.isSharedArrayBuffer,
  isStringObject: core.isStringObject,
  isSymbolObject: core.isSymbolObject,
  isTypedArray: (value) => tag(value) !== undefined,
  isWeakMap: core.isWeakMap,
  isWeakSet: core.isWeakSet,
};

for (
  const name of [
    "BigInt64Array", "BigUint64Array", "Float16Array", "Float32Array", "Float64Array", "Int16Array", "Int32Array", "Int8Array",
    "Uint16Array", "Uint32Array", "Uint8Array", "Uint8ClampedArray",
  ]
) {
  types[`is${name}`] = { [`is${name}`]: (value) => tag(value) === name }[`is${name}`];
}

module.exports = types;
