// What Node.js has and a worker cannot do: functions and classes that say so when they are used, and not before.

const { codes: { ERR_METHOD_NOT_IMPLEMENTED } } = require("internal/errors");

// full is the name that the message has, e.g. "child_process.spawn".
function unavailable(full) {
  const name = full.slice(full.lastIndexOf(".") + 1);
  return {
    [name]() {
      throw new ERR_METHOD_NOT_IMPLEMENTED(full);
    },
  }[name];
}

function unavailableClass(name, full = name, Base = Object, methods = []) {
  const made = {
    [name]: class extends Base {
      constructor() {
        throw new ERR_METHOD_NOT_IMPLEMENTED(full);
      }
    },
  }[name];
  for (const method of methods) {
    Object.defineProperty(made.prototype, method, {
      value: unavailable(`${full}.${method}`),
      writable: true,
      configurable: true,
    });
  }
  return made;
}

module.exports = { unavailable, unavailableClass };
