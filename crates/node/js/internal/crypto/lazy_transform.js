// A Transform that becomes a stream only when it is used as one: most hashes and ciphers never are.

const { Transform } = require("stream");

function LazyTransform(options) {
  this._options = options;
}
Object.setPrototypeOf(LazyTransform.prototype, Transform.prototype);
Object.setPrototypeOf(LazyTransform, Transform);

function own(object, name, value) {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

for (const name of ["_readableState", "_writableState"]) {
  Object.defineProperty(LazyTransform.prototype, name, {
    get() {
      // Inherited reads of the prototype itself must not make it a stream.
      if (!Object.hasOwn(this, "_options")) return undefined;
      Transform.call(this, this._options);
      // Strings go to _transform with their encoding, the default of which may be "buffer".
      if (this._writableState) this._writableState.decodeStrings = false;
      return this[name];
    },
    set(value) {
      own(this, name, value);
    },
    enumerable: true,
    configurable: true,
  });
}

module.exports = LazyTransform;
