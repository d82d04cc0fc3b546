// What modules ask of `process`. It is looked up at each use: a worker may replace the global, as programs for Node do.

function nextTick(callback, ...args) {
  globalThis.process.nextTick(callback, ...args);
}

function emitWarning(...args) {
  globalThis.process.emitWarning(...args);
}

module.exports = { emitWarning, nextTick };
