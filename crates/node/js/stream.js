// exports: Duplex, PassThrough, Readable, Stream, Transform, Writable, _isArrayBufferView, _isUint8Array, _uint8ArrayToBuffer
// exports: addAbortSignal, compose, destroy, duplexPair, finished, getDefaultHighWaterMark, isDestroyed, isDisturbed, isErrored
// exports: isReadable, isWritable, pipeline, promises, setDefaultHighWaterMark
module.exports = require("internal/streams/stream");
