// exports: setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate, promises, active, enroll, unenroll
const {
  clearImmediate,
  clearInterval,
  clearTimeout,
  setImmediate,
  setInterval,
  setTimeout,
} = require("internal/timers");

// Node.js deprecated these; the platform has their names.
function enroll() {
  throw new Error("Not implemented. Please use setTimeout() instead.");
}
function unenroll(item) {
  clearTimeout(item);
}
function active() {}

module.exports = {
  active,
  enroll,
  unenroll,
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
