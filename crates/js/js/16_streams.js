// The platform's byte streams: IdentityTransformStream, and FixedLengthStream, whose length becomes a Content-Length.
(function () {
const { core } = __bootstrap;
const { TransformStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { knownLengths } = core.loadExtScript("ext:atoll_js/12_body.js");

function toBytes(chunk) {
  if (ArrayBuffer.isView(chunk)) {
    return chunk instanceof Uint8Array ? chunk : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  if (core.isAnyArrayBuffer(chunk)) return new Uint8Array(chunk);
  if (typeof chunk === "string") return core.encode(chunk);
  throw new TypeError(
    "This TransformStream is being used as a byte stream, but received an object of non-ArrayBuffer/ArrayBufferView type on its writable side.",
  );
}

class IdentityTransformStream extends TransformStream {
  constructor(_queuingStrategy = undefined) {
    super({
      transform(chunk, controller) {
        controller.enqueue(toBytes(chunk));
      },
    });
  }
}

class FixedLengthStream extends TransformStream {
  constructor(expectedLength, _queuingStrategy = undefined) {
    const length = Number(expectedLength);
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new TypeError(`FixedLengthStream requires an integer expected length less than 2^53, got ${expectedLength}.`);
    }
    let left = length;
    super({
      transform(chunk, controller) {
        const bytes = toBytes(chunk);
        if (bytes.byteLength > left) {
          throw new TypeError("Attempt to write too many bytes through a FixedLengthStream.");
        }
        left -= bytes.byteLength;
        if (bytes.byteLength !== 0) controller.enqueue(bytes);
      },
      flush() {
        if (left !== 0) throw new TypeError("FixedLengthStream did not see all expected bytes before close().");
      },
    });
    knownLengths.set(this.readable, length);
  }
}

return { FixedLengthStream, IdentityTransformStream, toBytes };
})();
