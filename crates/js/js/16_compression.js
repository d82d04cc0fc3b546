// CompressionStream and DecompressionStream.
//
// As on the platform, a writer need not wait for a reader: what nobody has begun to read is kept, within the isolate's
// memory, and a write resolves. Once the readable is locked, writes wait for its reader when much is kept. Texts are
// written as UTF-8, and the readable gives bytes into a reader's own buffers.
//
// Decompression is the inflater of node:zlib: it tells input that is cut short, or empty, from complete, and what
// follows the end; the Compression Standard refuses each.
(function () {
const { core } = __bootstrap;
const {
  op_compression_finish, op_compression_new, op_compression_write, op_zlib_close, op_zlib_failure, op_zlib_new, op_zlib_write,
} = core.ops;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { isReadableStreamLocked, ReadableStream, TransformStream, WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { add } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { READABLE, toBytes, WRITABLE } = core.loadExtScript("ext:atoll_js/16_streams.js");

// Modes of the inflater, as node:zlib numbers them.
const MODES = { "deflate": 2, "deflate-raw": 6, "gzip": 4 };
const WINDOW_BITS = 15;
const NO_FLUSH = 0;
const FINISH = 4;
const PIECE_BYTES = 64 * 1024;
const NO_BYTES = new Uint8Array(0);
// What may wait for a reader that is there before a write waits, too.
const QUEUE_BYTES = 256 * 1024;

class Inflater {
  #native;
  #left = new Uint32Array(2);

  constructor(mode) {
    this.#native = op_zlib_new(mode, WINDOW_BITS, 0, 8, 0, NO_BYTES);
  }

  #run(flush, input) {
    const pieces = [];
    let length = 0;
    let outputLeft = 0;
    while (outputLeft === 0) {
      const output = new Uint8Array(PIECE_BYTES);
      if (!op_zlib_write(this.#native, flush, input, output, this.#left)) {
        const [message] = op_zlib_failure(this.#native);
        this.close();
        throw new TypeError(
          flush === FINISH ? "Called close() on a decompression stream with incomplete data" : `Decompression failed: ${message}`,
        );
      }
      let inputLeft;
      [outputLeft, inputLeft] = this.#left;
      input = input.subarray(input.length - inputLeft);
      const piece = output.subarray(0, PIECE_BYTES - outputLeft);
      length += piece.length;
      pieces.push(piece);
    }
    if (input.length !== 0) {
      this.close();
      throw new TypeError("Trailing bytes after end of compressed data");
    }
    if (pieces.length === 1) return pieces[0].slice();
    const whole = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  write(bytes) {
    return bytes.length === 0 ? NO_BYTES : this.#run(NO_FLUSH, bytes);
  }

  finish() {
    const rest = this.#run(FINISH, NO_BYTES);
    this.close();
    return rest;
  }

  close() {
    op_zlib_close(this.#native);
  }
}

class Deflater {
  #native;

  constructor(format) {
    this.#native = op_compression_new(format, false);
  }

  write(bytes) {
    return bytes.length === 0 ? NO_BYTES : op_compression_write(this.#native, bytes);
  }

  finish() {
    return op_compression_finish(this.#native, true);
  }

  close() {
    op_compression_finish(this.#native, false);
  }
}

function connect(stream, coder) {
  let source;
  let sink;
  // Goes on with a write that waits for the reader.
  let proceed = null;

  const release = () => {
    const waiting = proceed;
    proceed = null;
    waiting?.();
  };
  const end = () => {
    coder?.close();
    coder = null;
    release();
  };
  const fail = (reason) => {
    end();
    source.error(reason);
  };
  const reading = (run) => {
    try {
      return run();
    } catch (error) {
      fail(error);
      throw error;
    }
  };
  const give = (bytes) => {
    if (bytes.byteLength !== 0) source.enqueue(bytes);
  };

  const readable = new ReadableStream({
    type: "bytes",
    start(controller) {
      source = controller;
    },
    pull: release,
    cancel(reason) {
      sink.error(reason);
      end();
    },
  }, { highWaterMark: QUEUE_BYTES });
  stream[READABLE] = readable;
  stream[WRITABLE] = new WritableStream({
    start(controller) {
      sink = controller;
      controller.signal[add](() => fail(controller.signal.reason));
    },
    write(chunk) {
      return reading(() => {
        const bytes = toBytes(chunk);
        give(coder.write(core.isArrayBuffer(bytes.buffer) ? bytes : new Uint8Array(bytes)));
        if (source.desiredSize > 0 || !isReadableStreamLocked(readable)) return undefined;
        const { promise, resolve } = Promise.withResolvers();
        proceed = resolve;
        return promise;
      });
    },
    close() {
      reading(() => {
        const last = coder;
        coder = null;
        give(last.finish());
        source.close();
        // A reader's own buffer goes back to it.
        source.byobRequest?.respond(0);
      });
    },
  });
}

function checkFormat(format, given, name) {
  webidl.requiredArguments(given, 1, `Failed to construct '${name}'`);
  format = webidl.converters.DOMString(format, `Failed to construct '${name}'`, "Argument 1");
  if (!Object.hasOwn(MODES, format)) {
    throw new TypeError("The compression format must be either 'deflate', 'deflate-raw' or 'gzip'.");
  }
  return format;
}

class CompressionStream extends TransformStream {
  constructor(format) {
    format = checkFormat(format, arguments.length, "CompressionStream");
    super(webidl.brand);
    connect(this, new Deflater(format));
  }
}

class DecompressionStream extends TransformStream {
  constructor(format) {
    format = checkFormat(format, arguments.length, "DecompressionStream");
    super(webidl.brand);
    connect(this, new Inflater(MODES[format]));
  }
}

webidl.configureInterface(CompressionStream);
webidl.configureInterface(DecompressionStream);

return { CompressionStream, DecompressionStream };
})();
