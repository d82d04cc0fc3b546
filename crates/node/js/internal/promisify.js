// util.promisify and util.callbackify.

const { codes: { ERR_FALSY_VALUE_REJECTION } } = require("internal/errors");
const { validateFunction } = require("internal/validators");
const { emitWarning, nextTick } = require("internal/host_process");

const custom = Symbol.for("nodejs.util.promisify.custom");
// Names of a callback's values, where there are several: the promise is for an object of them.
const customPromisifyArgs = Symbol("customPromisifyArgs");

function promisify(original) {
  validateFunction(original, "original");
  if (original[custom]) {
    const own = original[custom];
    validateFunction(own, "util.promisify.custom");
    return Object.defineProperty(own, custom, { value: own, enumerable: false, writable: false, configurable: true });
  }
  const names = original[customPromisifyArgs];
  function fn(...args) {
    return new Promise((resolve, reject) => {
      const result = Reflect.apply(original, this, [...args, (error, ...values) => {
        if (error) reject(error);
        else if (names !== undefined && values.length > 1) {
          resolve(Object.fromEntries(names.map((name, i) => [name, values[i]])));
        } else resolve(values[0]);
      }]);
      if (internal.core.isPromise(result)) {
        emitWarning("Calling promisify on a function that returns a Promise is likely a mistake.", "DeprecationWarning", "DEP0174");
      }
    });
  }
  Object.setPrototypeOf(fn, Object.getPrototypeOf(original));
  Object.defineProperty(fn, custom, { value: fn, enumerable: false, writable: false, configurable: true });
  const descriptors = Object.getOwnPropertyDescriptors(original);
  for (const key of Reflect.ownKeys(descriptors)) Object.defineProperty(fn, key, descriptors[key]);
  return fn;
}
promisify.custom = custom;

function rejectedWith(reason, callback) {
  // Callbacks take "no error" for falsy.
  if (!reason) {
    const error = new ERR_FALSY_VALUE_REJECTION();
    error.reason = reason;
    reason = error;
  }
  return callback(reason);
}

function callbackify(original) {
  validateFunction(original, "original");
  function callbackified(...args) {
    const callback = args.pop();
    validateFunction(callback, "last argument");
    const done = callback.bind(this);
    Reflect.apply(original, this, args).then(
      (value) => nextTick(done, null, value),
      (reason) => nextTick(rejectedWith, reason, done),
    );
  }
  const descriptors = Object.getOwnPropertyDescriptors(original);
  // It takes one argument more.
  if (typeof descriptors.length.value === "number") descriptors.length.value++;
  if (typeof descriptors.name.value === "string") descriptors.name.value += "Callbackified";
  for (const key of Reflect.ownKeys(descriptors)) Object.defineProperty(callbackified, key, descriptors[key]);
  return callbackified;
}

module.exports = { callbackify, customPromisifyArgs, promisify };
