// exports: setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate, promises
const {
  clearImmediate,
  clearInterval,
  clearTimeout,
  setImmediate,
  setInterval,
  setTimeout,
} = require("internal/timers");

module.exports = {
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
  setImmediate,
  clearImmediate,
};
Object.defineProperty(module.exports, "promises", {
  configurable: true,
  enumerable: true,
  get: () => require("timers/promises"),
});
