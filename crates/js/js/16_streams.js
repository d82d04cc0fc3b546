// The platform's byte streams: IdentityTransformStream, and FixedLengthStream, whose length becomes a Content-Length.
//
// Nothing is kept between the two ends: a write is over when its bytes have been read, and a reader may bring buffers of
// its own. The writer keeps its buffers: what a reader without one gets is a copy.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { ReadableStream, TransformStream, WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { add } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { setKnownLength } = core.loadExtScript("ext:atoll_js/12_body.js");

// Where a TransformStream has its two ends.
const [READABLE, WRITABLE] = ["[[readable]]", "[[writable]]"].map((description) => {
  const blank = new TransformStream(webidl.brand);
  return Object.getOwnPropertySymbols(blank).find((symbol) => symbol.description === description);
});

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

// Of the writable end. A high water mark counts bytes; without one a single write waits.
function strategy(given) {
  const mark = given?.highWaterMark;
  if (mark === undefined) return undefined;
  const highWaterMark = Number(mark);
  if (Number.isNaN(highWaterMark)) throw new TypeError("The value cannot be converted because it is not an integer.");
  if (highWaterMark < 0) {
    throw new TypeError("The value cannot be converted because it is negative and this API expects a positive bigint.");
  }
  return { highWaterMark, size: (chunk) => chunk?.byteLength ?? chunk?.length ?? 0 };
}

// The bytes that a FixedLengthStream has yet to see; otherwise there is none.
class Length {
  constructor(bytes) {
    this.left = bytes;
  }
}

function connect(stream, left, writableStrategy) {
  let source;
  let sink;
  // What is left of the write that is under way, and its promise's functions.
  let bytes = null;
  let write = null;
  // A reader waits; called when it has got something.
  let asked = null;

  const give = () => {
    const request = source.byobRequest;
    if (request === null) {
      // The stream takes the buffer that it is given.
      source.enqueue(new Uint8Array(bytes));
      bytes = null;
    } else {
      const { view } = request;
      const count = Math.min(view.byteLength, bytes.byteLength);
      new Uint8Array(view.buffer, view.byteOffset, count).set(count === bytes.byteLength ? bytes : bytes.subarray(0, count));
      bytes = count === bytes.byteLength ? null : bytes.subarray(count);
      request.respond(count);
    }
    if (bytes === null) {
      const { resolve } = write;
      write = null;
      resolve();
    }
  };
  const answer = () => {
    const answered = asked;
    asked = null;
    answered?.();
  };
  const drop = (reason) => {
    bytes = null;
    const dropped = write;
    write = null;
    dropped?.reject(reason);
  };

  stream[READABLE] = new ReadableStream({
    type: "bytes",
    start(controller) {
      source = controller;
    },
    pull() {
      if (bytes === null) return new Promise((resolve) => asked = resolve);
      give();
    },
    cancel(reason) {
      sink.error(reason);
      drop(reason);
      answer();
    },
  }, { highWaterMark: 0 });
  const fail = (reason) => {
    drop(reason);
    source.error(reason);
    answer();
  };
  const reading = (run) => {
    try {
      return run();
    } catch (error) {
      fail(error);
      throw error;
    }
  };
  stream[WRITABLE] = new WritableStream({
    start(controller) {
      sink = controller;
      // A write that nobody reads would keep abort() waiting.
      controller.signal[add](() => fail(controller.signal.reason));
    },
    write(chunk) {
      return reading(() => {
        const all = toBytes(chunk);
        if (left !== null) {
          if (all.byteLength > left.left) throw new TypeError("Attempt to write too many bytes through a FixedLengthStream.");
          left.left -= all.byteLength;
        }
        if (all.byteLength === 0) return undefined;
        bytes = all;
        const { promise, resolve, reject } = Promise.withResolvers();
        write = { resolve, reject };
        if (asked !== null) {
          give();
          answer();
        }
        return promise;
      });
    },
    close() {
      reading(() => {
        if (left !== null && left.left !== 0) {
          throw new TypeError("FixedLengthStream did not see all expected bytes before close().");
        }
        source.close();
        // A reader's own buffer goes back to it.
        source.byobRequest?.respond(0);
        answer();
      });
    },
  }, writableStrategy);
}

class IdentityTransformStream extends TransformStream {
  constructor(queuingStrategy = undefined, length = null) {
    super(webidl.brand);
    connect(this, length instanceof Length ? length : null, strategy(queuingStrategy));
  }
}

class FixedLengthStream extends IdentityTransformStream {
  constructor(expectedLength, queuingStrategy = undefined) {
    const length = Number(expectedLength);
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new TypeError(`FixedLengthStream requires an integer expected length less than 2^53, got ${expectedLength}.`);
    }
    super(queuingStrategy, new Length(length));
    setKnownLength(this.readable, length);
  }
}

webidl.configureInterface(IdentityTransformStream);
webidl.configureInterface(FixedLengthStream);

return { FixedLengthStream, IdentityTransformStream, READABLE, toBytes, WRITABLE };
})();
