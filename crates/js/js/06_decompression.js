// DecompressionStream over the inflater of node:zlib. The library underneath takes input that is cut short, or empty, for
// complete; the Compression Standard refuses both, and what follows the end. Loaded before the class, which takes its ops once.
(function () {
const { core } = __bootstrap;
const {
  op_compression_finish, op_compression_new, op_compression_write, op_zlib_close, op_zlib_failure, op_zlib_new, op_zlib_write,
} = core.ops;

// Modes of the inflater, as node:zlib numbers them.
const MODES = { "deflate": 2, "deflate-raw": 6, "gzip": 4 };
const WINDOW_BITS = 15;
const NO_FLUSH = 0;
const FINISH = 4;
const PIECE_BYTES = 64 * 1024;
const NO_BYTES = new Uint8Array(0);

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

  write(chunk) {
    const bytes = ArrayBuffer.isView(chunk) ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength) : new Uint8Array(chunk);
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

core.ops.op_compression_new = (format, decompresses) =>
  decompresses && Object.hasOwn(MODES, format) ? new Inflater(MODES[format]) : op_compression_new(format, decompresses);

core.ops.op_compression_write = (stream, chunk) =>
  stream instanceof Inflater ? stream.write(chunk) : op_compression_write(stream, chunk);

core.ops.op_compression_finish = (stream, reportErrors) => {
  if (!(stream instanceof Inflater)) return op_compression_finish(stream, reportErrors);
  if (reportErrors) return stream.finish();
  stream.close();
  return NO_BYTES;
};
})();
