// The errors of streams, with Node's codes.

const errors = require("internal/errors");
const { codes, E } = errors;

const STREAM_ERRORS = {
  ERR_MULTIPLE_CALLBACK: ["Callback called multiple times", Error],
  ERR_STREAM_ALREADY_FINISHED: [(name) => `Cannot call ${name} after a stream was finished`, Error],
  ERR_STREAM_CANNOT_PIPE: ["Cannot pipe, not readable", Error],
  ERR_STREAM_DESTROYED: [(name) => `Cannot call ${name} after a stream was destroyed`, Error],
  ERR_STREAM_NULL_VALUES: ["May not write null values to stream", TypeError],
  ERR_STREAM_PREMATURE_CLOSE: ["Premature close", Error],
  ERR_STREAM_PUSH_AFTER_EOF: ["stream.push() after EOF", Error],
  ERR_STREAM_UNSHIFT_AFTER_END_EVENT: ["stream.unshift() after end event", Error],
  ERR_STREAM_UNABLE_TO_PIPE: ["Cannot pipe to a closed or destroyed stream", Error],
  ERR_STREAM_WRITE_AFTER_END: ["write after end", Error],
};
for (const [code, [message, Base]] of Object.entries(STREAM_ERRORS)) {
  if (codes[code] === undefined) E(code, message, Base);
}

// Both errors, the outer one's message first.
function aggregateTwoErrors(inner, outer) {
  if (inner && outer && inner !== outer) {
    if (Array.isArray(outer.errors)) {
      outer.errors.push(inner);
      return outer;
    }
    const both = new AggregateError([outer, inner], outer.message);
    both.code = outer.code;
    return both;
  }
  return inner || outer;
}

module.exports = { AbortError: errors.AbortError, aggregateTwoErrors, codes, hideStackFrames: (fn) => fn };
