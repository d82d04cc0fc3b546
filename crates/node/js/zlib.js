// exports: BrotliCompress, BrotliDecompress, Deflate, DeflateRaw, Gunzip, Gzip, Inflate, InflateRaw, Unzip, brotliCompress
// exports: brotliCompressSync, brotliDecompress, brotliDecompressSync, deflate, deflateSync, deflateRaw, deflateRawSync
// exports: gunzip, gunzipSync, gzip, gzipSync, inflate, inflateSync, inflateRaw, inflateRawSync, unzip, unzipSync
// exports: createBrotliCompress, createBrotliDecompress, createDeflate, createDeflateRaw, createGunzip, createGzip
// exports: createInflate, createInflateRaw, createUnzip, crc32, constants, codes, Z_NO_FLUSH, Z_PARTIAL_FLUSH, Z_SYNC_FLUSH
// exports: Z_FULL_FLUSH, Z_FINISH, Z_BLOCK, Z_OK, Z_STREAM_END, Z_NEED_DICT, Z_ERRNO, Z_STREAM_ERROR, Z_DATA_ERROR
// exports: Z_MEM_ERROR, Z_BUF_ERROR, Z_VERSION_ERROR, Z_NO_COMPRESSION, Z_BEST_SPEED, Z_BEST_COMPRESSION
// exports: Z_DEFAULT_COMPRESSION, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED, Z_DEFAULT_STRATEGY, ZLIB_VERNUM, DEFLATE
// exports: INFLATE, GZIP, GUNZIP, DEFLATERAW, INFLATERAW, UNZIP, BROTLI_DECODE, BROTLI_ENCODE, Z_MIN_WINDOWBITS
// exports: Z_MAX_WINDOWBITS, Z_DEFAULT_WINDOWBITS, Z_MIN_CHUNK, Z_MAX_CHUNK, Z_DEFAULT_CHUNK, Z_MIN_MEMLEVEL, Z_MAX_MEMLEVEL
// exports: Z_DEFAULT_MEMLEVEL, Z_MIN_LEVEL, Z_MAX_LEVEL, Z_DEFAULT_LEVEL, BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH
// exports: BROTLI_OPERATION_FINISH, BROTLI_OPERATION_EMIT_METADATA, BROTLI_PARAM_MODE, BROTLI_MODE_GENERIC, BROTLI_MODE_TEXT
// exports: BROTLI_MODE_FONT, BROTLI_DEFAULT_MODE, BROTLI_PARAM_QUALITY, BROTLI_MIN_QUALITY, BROTLI_MAX_QUALITY
// exports: BROTLI_DEFAULT_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_MIN_WINDOW_BITS, BROTLI_MAX_WINDOW_BITS
// exports: BROTLI_LARGE_MAX_WINDOW_BITS, BROTLI_DEFAULT_WINDOW, BROTLI_PARAM_LGBLOCK, BROTLI_MIN_INPUT_BLOCK_BITS
// exports: BROTLI_MAX_INPUT_BLOCK_BITS, BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING, BROTLI_PARAM_SIZE_HINT
// exports: BROTLI_PARAM_LARGE_WINDOW, BROTLI_PARAM_NPOSTFIX, BROTLI_PARAM_NDIRECT, BROTLI_DECODER_RESULT_ERROR
// exports: BROTLI_DECODER_RESULT_SUCCESS, BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT, BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT
// exports: BROTLI_DECODER_PARAM_DISABLE_RING_BUFFER_REALLOCATION, BROTLI_DECODER_PARAM_LARGE_WINDOW, BROTLI_DECODER_NO_ERROR
// exports: BROTLI_DECODER_SUCCESS, BROTLI_DECODER_NEEDS_MORE_INPUT, BROTLI_DECODER_NEEDS_MORE_OUTPUT
// exports: BROTLI_DECODER_ERROR_FORMAT_EXUBERANT_NIBBLE, BROTLI_DECODER_ERROR_FORMAT_RESERVED
// exports: BROTLI_DECODER_ERROR_FORMAT_EXUBERANT_META_NIBBLE, BROTLI_DECODER_ERROR_FORMAT_SIMPLE_HUFFMAN_ALPHABET
// exports: BROTLI_DECODER_ERROR_FORMAT_SIMPLE_HUFFMAN_SAME, BROTLI_DECODER_ERROR_FORMAT_CL_SPACE
// exports: BROTLI_DECODER_ERROR_FORMAT_HUFFMAN_SPACE, BROTLI_DECODER_ERROR_FORMAT_CONTEXT_MAP_REPEAT
// exports: BROTLI_DECODER_ERROR_FORMAT_BLOCK_LENGTH_1, BROTLI_DECODER_ERROR_FORMAT_BLOCK_LENGTH_2
// exports: BROTLI_DECODER_ERROR_FORMAT_TRANSFORM, BROTLI_DECODER_ERROR_FORMAT_DICTIONARY
// exports: BROTLI_DECODER_ERROR_FORMAT_WINDOW_BITS, BROTLI_DECODER_ERROR_FORMAT_PADDING_1
// exports: BROTLI_DECODER_ERROR_FORMAT_PADDING_2, BROTLI_DECODER_ERROR_FORMAT_DISTANCE
// exports: BROTLI_DECODER_ERROR_DICTIONARY_NOT_SET, BROTLI_DECODER_ERROR_INVALID_ARGUMENTS
// exports: BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES, BROTLI_DECODER_ERROR_ALLOC_TREE_GROUPS
// exports: BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MAP, BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_1
// exports: BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_2, BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
// exports: BROTLI_DECODER_ERROR_UNREACHABLE, ZstdCompress, ZstdDecompress, zstdCompress, zstdCompressSync, zstdDecompress
// exports: zstdDecompressSync, createZstdCompress, createZstdDecompress
// exports: ZSTD_COMPRESS, ZSTD_DECODE, ZSTD_DECOMPRESS, ZSTD_ENCODE, ZSTD_error_GENERIC, ZSTD_error_checksum_wrong
// exports: ZSTD_error_corruption_detected, ZSTD_error_dictionaryCreation_failed, ZSTD_error_dictionary_corrupted
// exports: ZSTD_error_dictionary_wrong, ZSTD_error_dstBuffer_null, ZSTD_error_dstSize_tooSmall
// exports: ZSTD_error_frameParameter_unsupported, ZSTD_error_frameParameter_windowTooLarge, ZSTD_error_init_missing
// exports: ZSTD_error_literals_headerWrong, ZSTD_error_maxSymbolValue_tooLarge, ZSTD_error_maxSymbolValue_tooSmall
// exports: ZSTD_error_memory_allocation, ZSTD_error_noForwardProgress_destFull, ZSTD_error_noForwardProgress_inputEmpty
// exports: ZSTD_error_no_error, ZSTD_error_parameter_combination_unsupported, ZSTD_error_parameter_outOfBound
// exports: ZSTD_error_parameter_unsupported, ZSTD_error_prefix_unknown, ZSTD_error_srcSize_wrong
// exports: ZSTD_error_stabilityCondition_notRespected, ZSTD_error_stage_wrong, ZSTD_error_tableLog_tooLarge
// exports: ZSTD_error_version_unsupported, ZSTD_error_workSpace_tooSmall
//
// node:zlib over the ops of src/zlib: streams that push what one step after the other makes, and functions that collect it.
// A worker has no thread beside its own: what Node does in its pool happens here in a later turn of the event loop.

const { op_brotli_new, op_zlib_close, op_zlib_crc32, op_zlib_failure, op_zlib_new, op_zlib_params, op_zlib_reset, op_zlib_write,
  op_zstd_new } = internal.ops;
const { codes, E } = require("internal/errors");
const { validateFunction, validateNumber, validateUint32 } = require("internal/validators");
const { Buffer, kMaxLength } = require("buffer");
const { finished, Transform } = require("stream");
const { nextTick } = require("internal/next_tick");
const { setImmediate } = require("internal/timers");

if (codes.ERR_BROTLI_INVALID_PARAM === undefined) {
  E("ERR_BROTLI_INVALID_PARAM", (name) => `${name} is not a valid Brotli parameter`, RangeError);
}
if (codes.ERR_ZSTD_INVALID_PARAM === undefined) {
  E("ERR_ZSTD_INVALID_PARAM", (name) => `${name} is not a valid zstd parameter`, RangeError);
}
if (codes.ERR_BUFFER_TOO_LARGE === undefined) {
  E("ERR_BUFFER_TOO_LARGE", (bytes) => `Cannot create a Buffer larger than ${bytes} bytes`, RangeError);
}
const { ERR_BROTLI_INVALID_PARAM, ERR_BUFFER_TOO_LARGE, ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE, ERR_ZLIB_INITIALIZATION_FAILED,
  ERR_ZSTD_INVALID_PARAM } = codes;

// Modes; src/zlib/deflate_stream.rs has the same numbers.
const DEFLATE = 1;
const INFLATE = 2;
const GZIP = 3;
const GUNZIP = 4;
const DEFLATERAW = 5;
const INFLATERAW = 6;
const UNZIP = 7;
const BROTLI_DECODE = 8;
const BROTLI_ENCODE = 9;
const ZSTD_ENCODE = 10;
const ZSTD_DECODE = 11;

const constants = Object.freeze({
  __proto__: null,
  Z_NO_FLUSH: 0,
  Z_PARTIAL_FLUSH: 1,
  Z_SYNC_FLUSH: 2,
  Z_FULL_FLUSH: 3,
  Z_FINISH: 4,
  Z_BLOCK: 5,
  Z_OK: 0,
  Z_STREAM_END: 1,
  Z_NEED_DICT: 2,
  Z_ERRNO: -1,
  Z_STREAM_ERROR: -2,
  Z_DATA_ERROR: -3,
  Z_MEM_ERROR: -4,
  Z_BUF_ERROR: -5,
  Z_VERSION_ERROR: -6,
  Z_NO_COMPRESSION: 0,
  Z_BEST_SPEED: 1,
  Z_BEST_COMPRESSION: 9,
  Z_DEFAULT_COMPRESSION: -1,
  Z_FILTERED: 1,
  Z_HUFFMAN_ONLY: 2,
  Z_RLE: 3,
  Z_FIXED: 4,
  Z_DEFAULT_STRATEGY: 0,
  ZLIB_VERNUM: 4897,
  DEFLATE: 1,
  INFLATE: 2,
  GZIP: 3,
  GUNZIP: 4,
  DEFLATERAW: 5,
  INFLATERAW: 6,
  UNZIP: 7,
  BROTLI_DECODE: 8,
  BROTLI_ENCODE: 9,
  Z_MIN_WINDOWBITS: 8,
  Z_MAX_WINDOWBITS: 15,
  Z_DEFAULT_WINDOWBITS: 15,
  Z_MIN_CHUNK: 64,
  Z_MAX_CHUNK: Infinity,
  Z_DEFAULT_CHUNK: 16384,
  Z_MIN_MEMLEVEL: 1,
  Z_MAX_MEMLEVEL: 9,
  Z_DEFAULT_MEMLEVEL: 8,
  Z_MIN_LEVEL: -1,
  Z_MAX_LEVEL: 9,
  Z_DEFAULT_LEVEL: -1,
  BROTLI_OPERATION_PROCESS: 0,
  BROTLI_OPERATION_FLUSH: 1,
  BROTLI_OPERATION_FINISH: 2,
  BROTLI_OPERATION_EMIT_METADATA: 3,
  BROTLI_PARAM_MODE: 0,
  BROTLI_MODE_GENERIC: 0,
  BROTLI_MODE_TEXT: 1,
  BROTLI_MODE_FONT: 2,
  BROTLI_DEFAULT_MODE: 0,
  BROTLI_PARAM_QUALITY: 1,
  BROTLI_MIN_QUALITY: 0,
  BROTLI_MAX_QUALITY: 11,
  BROTLI_DEFAULT_QUALITY: 11,
  BROTLI_PARAM_LGWIN: 2,
  BROTLI_MIN_WINDOW_BITS: 10,
  BROTLI_MAX_WINDOW_BITS: 24,
  BROTLI_LARGE_MAX_WINDOW_BITS: 30,
  BROTLI_DEFAULT_WINDOW: 22,
  BROTLI_PARAM_LGBLOCK: 3,
  BROTLI_MIN_INPUT_BLOCK_BITS: 16,
  BROTLI_MAX_INPUT_BLOCK_BITS: 24,
  BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING: 4,
  BROTLI_PARAM_SIZE_HINT: 5,
  BROTLI_PARAM_LARGE_WINDOW: 6,
  BROTLI_PARAM_NPOSTFIX: 7,
  BROTLI_PARAM_NDIRECT: 8,
  BROTLI_DECODER_RESULT_ERROR: 0,
  BROTLI_DECODER_RESULT_SUCCESS: 1,
  BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT: 2,
  BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: 3,
  BROTLI_DECODER_PARAM_DISABLE_RING_BUFFER_REALLOCATION: 0,
  BROTLI_DECODER_PARAM_LARGE_WINDOW: 1,
  BROTLI_DECODER_NO_ERROR: 0,
  BROTLI_DECODER_SUCCESS: 1,
  BROTLI_DECODER_NEEDS_MORE_INPUT: 2,
  BROTLI_DECODER_NEEDS_MORE_OUTPUT: 3,
  BROTLI_DECODER_ERROR_FORMAT_EXUBERANT_NIBBLE: -1,
  BROTLI_DECODER_ERROR_FORMAT_RESERVED: -2,
  BROTLI_DECODER_ERROR_FORMAT_EXUBERANT_META_NIBBLE: -3,
  BROTLI_DECODER_ERROR_FORMAT_SIMPLE_HUFFMAN_ALPHABET: -4,
  BROTLI_DECODER_ERROR_FORMAT_SIMPLE_HUFFMAN_SAME: -5,
  BROTLI_DECODER_ERROR_FORMAT_CL_SPACE: -6,
  BROTLI_DECODER_ERROR_FORMAT_HUFFMAN_SPACE: -7,
  BROTLI_DECODER_ERROR_FORMAT_CONTEXT_MAP_REPEAT: -8,
  BROTLI_DECODER_ERROR_FORMAT_BLOCK_LENGTH_1: -9,
  BROTLI_DECODER_ERROR_FORMAT_BLOCK_LENGTH_2: -10,
  BROTLI_DECODER_ERROR_FORMAT_TRANSFORM: -11,
  BROTLI_DECODER_ERROR_FORMAT_DICTIONARY: -12,
  BROTLI_DECODER_ERROR_FORMAT_WINDOW_BITS: -13,
  BROTLI_DECODER_ERROR_FORMAT_PADDING_1: -14,
  BROTLI_DECODER_ERROR_FORMAT_PADDING_2: -15,
  BROTLI_DECODER_ERROR_FORMAT_DISTANCE: -16,
  BROTLI_DECODER_ERROR_DICTIONARY_NOT_SET: -19,
  BROTLI_DECODER_ERROR_INVALID_ARGUMENTS: -20,
  BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES: -21,
  BROTLI_DECODER_ERROR_ALLOC_TREE_GROUPS: -22,
  BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MAP: -25,
  BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_1: -26,
  BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_2: -27,
  BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES: -30,
  BROTLI_DECODER_ERROR_UNREACHABLE: -31,
  ZSTD_ENCODE: 10,
  ZSTD_DECODE: 11,
  ZSTD_COMPRESS: 10,
  ZSTD_DECOMPRESS: 11,
  ZSTD_e_continue: 0,
  ZSTD_e_flush: 1,
  ZSTD_e_end: 2,
  ZSTD_c_compressionLevel: 100,
  ZSTD_c_windowLog: 101,
  ZSTD_c_hashLog: 102,
  ZSTD_c_chainLog: 103,
  ZSTD_c_searchLog: 104,
  ZSTD_c_minMatch: 105,
  ZSTD_c_targetLength: 106,
  ZSTD_c_strategy: 107,
  ZSTD_c_enableLongDistanceMatching: 160,
  ZSTD_c_ldmHashLog: 161,
  ZSTD_c_ldmMinMatch: 162,
  ZSTD_c_ldmBucketSizeLog: 163,
  ZSTD_c_ldmHashRateLog: 164,
  ZSTD_c_contentSizeFlag: 200,
  ZSTD_c_checksumFlag: 201,
  ZSTD_c_dictIDFlag: 202,
  ZSTD_c_nbWorkers: 400,
  ZSTD_c_jobSize: 401,
  ZSTD_c_overlapLog: 402,
  ZSTD_d_windowLogMax: 100,
  ZSTD_fast: 1,
  ZSTD_dfast: 2,
  ZSTD_greedy: 3,
  ZSTD_lazy: 4,
  ZSTD_lazy2: 5,
  ZSTD_btlazy2: 6,
  ZSTD_btopt: 7,
  ZSTD_btultra: 8,
  ZSTD_btultra2: 9,
  ZSTD_CLEVEL_DEFAULT: 3,
  ZSTD_error_no_error: 0,
  ZSTD_error_GENERIC: 1,
  ZSTD_error_prefix_unknown: 10,
  ZSTD_error_version_unsupported: 12,
  ZSTD_error_frameParameter_unsupported: 14,
  ZSTD_error_frameParameter_windowTooLarge: 16,
  ZSTD_error_corruption_detected: 20,
  ZSTD_error_checksum_wrong: 22,
  ZSTD_error_literals_headerWrong: 24,
  ZSTD_error_dictionary_corrupted: 30,
  ZSTD_error_dictionary_wrong: 32,
  ZSTD_error_dictionaryCreation_failed: 34,
  ZSTD_error_parameter_unsupported: 40,
  ZSTD_error_parameter_combination_unsupported: 41,
  ZSTD_error_parameter_outOfBound: 42,
  ZSTD_error_tableLog_tooLarge: 44,
  ZSTD_error_maxSymbolValue_tooLarge: 46,
  ZSTD_error_maxSymbolValue_tooSmall: 48,
  ZSTD_error_stabilityCondition_notRespected: 50,
  ZSTD_error_stage_wrong: 60,
  ZSTD_error_init_missing: 62,
  ZSTD_error_memory_allocation: 64,
  ZSTD_error_workSpace_tooSmall: 66,
  ZSTD_error_dstSize_tooSmall: 70,
  ZSTD_error_srcSize_wrong: 72,
  ZSTD_error_dstBuffer_null: 74,
  ZSTD_error_noForwardProgress_destFull: 80,
  ZSTD_error_noForwardProgress_inputEmpty: 82,
});

const {
  BROTLI_OPERATION_EMIT_METADATA,
  BROTLI_OPERATION_FINISH,
  BROTLI_OPERATION_FLUSH,
  BROTLI_OPERATION_PROCESS,
  Z_BLOCK,
  Z_DEFAULT_CHUNK,
  Z_DEFAULT_COMPRESSION,
  Z_DEFAULT_MEMLEVEL,
  Z_DEFAULT_STRATEGY,
  Z_DEFAULT_WINDOWBITS,
  Z_FINISH,
  Z_FIXED,
  Z_FULL_FLUSH,
  Z_MAX_LEVEL,
  Z_MAX_MEMLEVEL,
  Z_MAX_WINDOWBITS,
  Z_MIN_CHUNK,
  Z_MIN_LEVEL,
  Z_MIN_MEMLEVEL,
  Z_MIN_WINDOWBITS,
  Z_NO_FLUSH,
  Z_SYNC_FLUSH,
  ZSTD_e_continue,
  ZSTD_e_end,
  ZSTD_e_flush,
} = constants;

const returnCodes = {
  Z_OK: 0,
  Z_STREAM_END: 1,
  Z_NEED_DICT: 2,
  Z_ERRNO: -1,
  Z_STREAM_ERROR: -2,
  Z_DATA_ERROR: -3,
  Z_MEM_ERROR: -4,
  Z_BUF_ERROR: -5,
  Z_VERSION_ERROR: -6,
};
for (const [name, value] of Object.entries(returnCodes)) returnCodes[value] = name;

const kFlushFlag = Symbol("kFlushFlag");
const kError = Symbol("kError");
// The input's end was processed: nothing is left for _flush.
const kFinished = Symbol("kFinished");

// An empty chunk that only says how to flush, one for each kind.
const flushChunks = [];
for (let kind = 0; kind <= Z_BLOCK; kind++) {
  flushChunks[kind] = Buffer.alloc(0);
  flushChunks[kind][kFlushFlag] = kind;
}

// The last of the ways to flush, where that is not zlib's.
const HIGHEST_FLUSH = {
  __proto__: null,
  [BROTLI_DECODE]: BROTLI_OPERATION_EMIT_METADATA,
  [BROTLI_ENCODE]: BROTLI_OPERATION_EMIT_METADATA,
  [ZSTD_ENCODE]: ZSTD_e_end,
  [ZSTD_DECODE]: ZSTD_e_end,
};

// The stronger of two flushes, for zlib's: partial flush is weaker than sync flush whatever its number.
const STRENGTH = [0, 1, 2, 3, 5, 4];
function stronger(a, b) {
  return STRENGTH[a] > STRENGTH[b] ? a : b;
}

// True for a number to check, false for the default.
function isGiven(number, name) {
  if (number === undefined) return false;
  if (Number.isFinite(number)) return true;
  if (Number.isNaN(number)) return false;
  validateNumber(number, name);
  throw new ERR_OUT_OF_RANGE(name, "a finite number", number);
}

function within(number, name, lower, upper, fallback) {
  if (!isGiven(number, name)) return fallback;
  if (number < lower || number > upper) {
    throw new ERR_OUT_OF_RANGE(name, `>= ${lower} and <= ${upper}`, number);
  }
  return number;
}

function isAnyArrayBuffer(value) {
  return value instanceof ArrayBuffer || Object.prototype.toString.call(value) === "[object SharedArrayBuffer]";
}

function bytes(view) {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// The bytes of the dictionary that the options name; none is empty.
function dictionaryOf(options) {
  const dictionary = options?.dictionary;
  if (dictionary === undefined) return new Uint8Array(0);
  if (ArrayBuffer.isView(dictionary)) return bytes(dictionary);
  if (isAnyArrayBuffer(dictionary)) return Buffer.from(dictionary);
  throw new ERR_INVALID_ARG_TYPE("options.dictionary", ["Buffer", "TypedArray", "DataView", "ArrayBuffer"], dictionary);
}

// The native part of a stream. Closed by the stream's end, so that memory does not wait for the collector.
class Handle {
  #native;
  #left = new Uint32Array(2);

  constructor(native) {
    this.#native = native;
  }

  // One step; what is left is in `output` and `input` then. Undefined, or the error.
  step(flush, input, output) {
    if (op_zlib_write(this.#native, flush, bytes(input), output, this.#left)) return undefined;
    return this.#failure();
  }

  get outputLeft() {
    return this.#left[0];
  }

  get inputLeft() {
    return this.#left[1];
  }

  #failure() {
    const [message, errno, code] = op_zlib_failure(this.#native);
    return Object.assign(new Error(message), { errno, code });
  }

  reset() {
    op_zlib_reset(this.#native);
  }

  params(level, strategy) {
    return op_zlib_params(this.#native, level, strategy) ? undefined : this.#failure();
  }

  close() {
    op_zlib_close(this.#native);
  }
}

function make(create, message) {
  try {
    return new Handle(create());
  } catch {
    throw new ERR_ZLIB_INITIALIZATION_FAILED(message);
  }
}

function ZlibBase(options, mode, create, { flush, finishFlush, fullFlush }) {
  let chunkSize = Z_DEFAULT_CHUNK;
  let maxOutputLength = kMaxLength;
  if (options) {
    chunkSize = options.chunkSize;
    if (!isGiven(chunkSize, "options.chunkSize")) chunkSize = Z_DEFAULT_CHUNK;
    else if (chunkSize < Z_MIN_CHUNK) {
      throw new ERR_OUT_OF_RANGE("options.chunkSize", `>= ${Z_MIN_CHUNK}`, chunkSize);
    }
    const highest = HIGHEST_FLUSH[mode] ?? Z_BLOCK;
    flush = within(options.flush, "options.flush", 0, highest, flush);
    finishFlush = within(options.finishFlush, "options.finishFlush", 0, highest, finishFlush);
    maxOutputLength = within(options.maxOutputLength, "options.maxOutputLength", 1, kMaxLength, kMaxLength);
    if (options.encoding || options.objectMode || options.writableObjectMode) {
      options = { ...options, encoding: null, objectMode: false, writableObjectMode: false };
    }
  }
  Reflect.apply(Transform, this, [{ autoDestroy: true, ...options }]);
  this[kError] = null;
  this[kFinished] = false;
  this.bytesWritten = 0;
  this._handle = create();
  this._outBuffer = Buffer.allocUnsafe(chunkSize);
  this._outOffset = 0;
  this._chunkSize = chunkSize;
  this._defaultFlushFlag = flush;
  this._finishFlushFlag = finishFlush;
  this._defaultFullFlushFlag = fullFlush;
  this._info = options?.info;
  this._maxOutputLength = maxOutputLength;
}
Object.setPrototypeOf(ZlibBase.prototype, Transform.prototype);
Object.setPrototypeOf(ZlibBase, Transform);

Object.defineProperty(ZlibBase.prototype, "_closed", {
  configurable: true,
  enumerable: true,
  get() {
    return !this._handle;
  },
});

let warnedOfBytesRead = false;
function warnOfBytesRead() {
  if (warnedOfBytesRead) return;
  warnedOfBytesRead = true;
  require("process").emitWarning(
    "zlib.bytesRead is deprecated and will change its meaning in the future. Use zlib.bytesWritten instead.",
    "DeprecationWarning",
    "DEP0108",
  );
}

Object.defineProperty(ZlibBase.prototype, "bytesRead", {
  configurable: true,
  enumerable: true,
  get() {
    warnOfBytesRead();
    return this.bytesWritten;
  },
  set(value) {
    warnOfBytesRead();
    this.bytesWritten = value;
  },
});

function closeHandle(engine) {
  engine._handle?.close();
  engine._handle = null;
}

ZlibBase.prototype.reset = function () {
  if (!this._handle) throw new Error("zlib binding closed");
  this[kFinished] = false;
  this._handle.reset();
};

// Called when the input ends without a last chunk.
ZlibBase.prototype._flush = function (callback) {
  if (this[kFinished]) {
    callback();
    return;
  }
  this._transform(Buffer.alloc(0), "", callback);
};

// What ends the input passes through _flush.
ZlibBase.prototype._final = function (callback) {
  callback();
};

ZlibBase.prototype.flush = function (kind, callback) {
  if (typeof kind === "function" || (kind === undefined && !callback)) {
    callback = kind;
    kind = this._defaultFullFlushFlag;
  }
  if (this.writableFinished) {
    if (callback) nextTick(callback);
  } else if (this.writableEnded) {
    if (callback) this.once("end", callback);
  } else {
    this.write(flushChunks[kind], "", callback);
  }
};

ZlibBase.prototype.close = function (callback) {
  if (callback) finished(this, callback);
  this.destroy();
};

ZlibBase.prototype._destroy = function (error, callback) {
  closeHandle(this);
  callback(error);
};

ZlibBase.prototype._transform = function (chunk, _encoding, callback) {
  let flushFlag = this._defaultFlushFlag;
  if (typeof chunk[kFlushFlag] === "number") flushFlag = chunk[kFlushFlag];
  else if (this.writableEnded && this.writableLength === chunk.byteLength) {
    flushFlag = this instanceof Zlib && !(this instanceof Brotli)
      ? stronger(flushFlag, this._finishFlushFlag)
      : this._finishFlushFlag;
  }
  process(this, chunk, flushFlag, callback);
};

ZlibBase.prototype._processChunk = function (chunk, flushFlag, callback) {
  if (typeof callback === "function") {
    process(this, chunk, flushFlag, callback);
    return undefined;
  }
  return processSync(this, chunk, flushFlag);
};

function fail(engine, error) {
  engine[kError] = error;
  engine.destroy(error);
}

// Steps over a chunk, each in a turn of its own, as fast as the reader takes what they make.
function process(engine, chunk, flushFlag, callback) {
  if (!engine._handle) {
    nextTick(callback);
    return;
  }
  let at = 0;
  const step = () => {
    const handle = engine._handle;
    if (!handle || engine.destroyed) {
      callback();
      return;
    }
    const input = at === 0 ? chunk : bytes(chunk).subarray(at);
    const room = engine._chunkSize - engine._outOffset;
    const error = handle.step(flushFlag, input, engine._outBuffer.subarray(engine._outOffset));
    if (error !== undefined) {
      fail(engine, error);
      return;
    }
    const { inputLeft, outputLeft } = handle;
    const taken = input.byteLength - inputLeft;
    const made = room - outputLeft;
    at += taken;
    engine.bytesWritten += taken;
    let full = false;
    if (made > 0) {
      const out = engine._outBuffer.subarray(engine._outOffset, engine._outOffset + made);
      engine._outOffset += made;
      full = !engine.push(out);
    }
    if (engine.destroyed) {
      callback();
      return;
    }
    if (outputLeft === 0 || engine._outOffset >= engine._chunkSize) {
      engine._outOffset = 0;
      engine._outBuffer = Buffer.allocUnsafe(engine._chunkSize);
    }
    if (outputLeft === 0) {
      // There may be more to come from the same input.
      if (!full) setImmediate(step);
      else {
        const read = engine._read;
        engine._read = (size) => {
          engine._read = read;
          setImmediate(step);
          engine._read(size);
        };
      }
      return;
    }
    if (inputLeft > 0) {
      // The stream has ended before its input: what follows is not its own.
      engine.push(null);
    }
    engine[kFinished] = flushFlag === engine._finishFlushFlag;
    callback();
  };
  setImmediate(step);
}

function processSync(engine, chunk, flushFlag) {
  const handle = engine._handle;
  if (!handle) throw new Error("zlib binding closed");
  const input = bytes(chunk);
  const buffers = [];
  let at = 0;
  let made = 0;
  let buffer = engine._outBuffer;
  let offset = engine._outOffset;
  const size = engine._chunkSize;
  while (true) {
    const room = size - offset;
    const error = handle.step(flushFlag, input.subarray(at), buffer.subarray(offset));
    if (error !== undefined) {
      closeHandle(engine);
      throw error;
    }
    const { inputLeft, outputLeft } = handle;
    at = input.byteLength - inputLeft;
    const have = room - outputLeft;
    if (have > 0) {
      buffers.push(buffer.subarray(offset, offset + have));
      offset += have;
      made += have;
      if (made > engine._maxOutputLength) {
        closeHandle(engine);
        throw new ERR_BUFFER_TOO_LARGE(engine._maxOutputLength);
      }
    }
    if (outputLeft === 0 || offset >= size) {
      offset = 0;
      buffer = Buffer.allocUnsafe(size);
    }
    if (outputLeft !== 0) break;
  }
  engine.bytesWritten = at;
  closeHandle(engine);
  if (made === 0) return Buffer.alloc(0);
  return buffers.length === 1 ? buffers[0] : Buffer.concat(buffers, made);
}

// ---- zlib's formats

function Zlib(options, mode) {
  let windowBits = Z_DEFAULT_WINDOWBITS;
  let level = Z_DEFAULT_COMPRESSION;
  let memLevel = Z_DEFAULT_MEMLEVEL;
  let strategy = Z_DEFAULT_STRATEGY;
  const dictionary = dictionaryOf(options);
  if (options) {
    // Decompressors may take the window from the data.
    if ((options.windowBits == null || options.windowBits === 0) && (mode === INFLATE || mode === GUNZIP || mode === UNZIP)) {
      windowBits = 0;
    } else {
      const lowest = Z_MIN_WINDOWBITS + (mode === GZIP ? 1 : 0);
      windowBits = within(options.windowBits, "options.windowBits", lowest, Z_MAX_WINDOWBITS, Z_DEFAULT_WINDOWBITS);
    }
    level = within(options.level, "options.level", Z_MIN_LEVEL, Z_MAX_LEVEL, Z_DEFAULT_COMPRESSION);
    memLevel = within(options.memLevel, "options.memLevel", Z_MIN_MEMLEVEL, Z_MAX_MEMLEVEL, Z_DEFAULT_MEMLEVEL);
    strategy = within(options.strategy, "options.strategy", Z_DEFAULT_STRATEGY, Z_FIXED, Z_DEFAULT_STRATEGY);
  }
  const create = () => make(() => op_zlib_new(mode, windowBits, level, memLevel, strategy, dictionary));
  Reflect.apply(ZlibBase, this, [options, mode, create, {
    flush: Z_NO_FLUSH,
    finishFlush: Z_FINISH,
    fullFlush: Z_FULL_FLUSH,
  }]);
  this._level = level;
  this._strategy = strategy;
  this._mode = mode;
}
Object.setPrototypeOf(Zlib.prototype, ZlibBase.prototype);
Object.setPrototypeOf(Zlib, ZlibBase);

// Level and strategy of what follows.
Zlib.prototype.params = function params(level, strategy, callback) {
  within(level, "level", Z_MIN_LEVEL, Z_MAX_LEVEL);
  within(strategy, "strategy", Z_DEFAULT_STRATEGY, Z_FIXED);
  if (this._level === level && this._strategy === strategy) {
    nextTick(callback);
    return;
  }
  this.flush(Z_SYNC_FLUSH, () => {
    if (!this._handle) throw new Error("zlib binding closed");
    const error = this._handle.params(level, strategy);
    if (error !== undefined) {
      fail(this, error);
      return;
    }
    this._level = level;
    this._strategy = strategy;
    if (callback) callback();
  });
};

function zlibClass(name, mode, prepare = (options) => options) {
  const Class = {
    [name]: function (options) {
      if (!(this instanceof Class)) return new Class(options);
      Reflect.apply(Zlib, this, [prepare(options), mode]);
      return undefined;
    },
  }[name];
  Object.setPrototypeOf(Class.prototype, Zlib.prototype);
  Object.setPrototypeOf(Class, Zlib);
  return Class;
}

const Deflate = zlibClass("Deflate", DEFLATE);
const Inflate = zlibClass("Inflate", INFLATE);
const Gzip = zlibClass("Gzip", GZIP);
const Gunzip = zlibClass("Gunzip", GUNZIP);
// zlib refuses a window of 256 bytes for raw data.
const DeflateRaw = zlibClass(
  "DeflateRaw",
  DEFLATERAW,
  (options) => options?.windowBits === 8 ? { ...options, windowBits: 9 } : options,
);
const InflateRaw = zlibClass("InflateRaw", INFLATERAW);
const Unzip = zlibClass("Unzip", UNZIP);

// ---- Brotli

// The greatest of the constants whose names begin so.
function greatest(prefix) {
  return Math.max(...Object.entries(constants).filter(([name]) => name.startsWith(prefix)).map(([, value]) => value));
}

const BROTLI_PARAMETER_MAX = greatest("BROTLI_PARAM_");
const UNSET = 0xffffffff;

function Brotli(options, mode) {
  const parameters = new Uint32Array(BROTLI_PARAMETER_MAX + 1).fill(UNSET);
  if (options?.params) {
    for (const [name, value] of Object.entries(options.params)) {
      const key = Number(name);
      if (!Number.isInteger(key) || key < 0 || key > BROTLI_PARAMETER_MAX || parameters[key] !== UNSET) {
        throw new ERR_BROTLI_INVALID_PARAM(name);
      }
      if (typeof value !== "number" && typeof value !== "boolean") {
        throw new ERR_INVALID_ARG_TYPE("options.params[key]", "number", value);
      }
      parameters[key] = Number(value);
    }
  }
  const create = () => make(() => op_brotli_new(mode === BROTLI_ENCODE, parameters));
  Reflect.apply(ZlibBase, this, [options, mode, create, {
    flush: BROTLI_OPERATION_PROCESS,
    finishFlush: BROTLI_OPERATION_FINISH,
    fullFlush: BROTLI_OPERATION_FLUSH,
  }]);
}
Object.setPrototypeOf(Brotli.prototype, Zlib.prototype);
Object.setPrototypeOf(Brotli, Zlib);

function brotliClass(name, mode) {
  const Class = {
    [name]: function (options) {
      if (!(this instanceof Class)) return new Class(options);
      Reflect.apply(Brotli, this, [options, mode]);
      return undefined;
    },
  }[name];
  Object.setPrototypeOf(Class.prototype, Brotli.prototype);
  Object.setPrototypeOf(Class, Brotli);
  return Class;
}

const BrotliCompress = brotliClass("BrotliCompress", BROTLI_ENCODE);
const BrotliDecompress = brotliClass("BrotliDecompress", BROTLI_DECODE);

// ---- Zstandard

const ZSTD_PARAMETER_MAX = {
  __proto__: null,
  [ZSTD_ENCODE]: greatest("ZSTD_c_"),
  [ZSTD_DECODE]: greatest("ZSTD_d_"),
};

function zstdParameters(params, mode) {
  const pairs = [];
  const seen = new Set();
  for (const [name, value] of Object.entries(params ?? {})) {
    const key = Number(name);
    if (!Number.isInteger(key) || key < 0 || key > ZSTD_PARAMETER_MAX[mode] || seen.has(key)) {
      throw new ERR_ZSTD_INVALID_PARAM(name);
    }
    if (typeof value !== "number" && typeof value !== "boolean") {
      throw new ERR_INVALID_ARG_TYPE("options.params[key]", "number", value);
    }
    seen.add(key);
    pairs.push(key, Number(value));
  }
  // Negative ones wrap, and are negative again beneath.
  return Uint32Array.from(pairs);
}

// The length of the input as promised, or -1.
function pledgedSize(size) {
  if (size === undefined) return -1;
  validateNumber(size, "options.pledgedSrcSize", 0);
  return size;
}

class Zstd extends ZlibBase {
  constructor(options, mode) {
    const parameters = zstdParameters(options?.params, mode);
    const pledged = mode === ZSTD_ENCODE ? pledgedSize(options?.pledgedSrcSize) : -1;
    const dictionary = dictionaryOf(options);
    const create = () =>
      make(() => op_zstd_new(mode === ZSTD_ENCODE, parameters, pledged, dictionary), "Setting parameter failed");
    super(options, mode, create, { flush: ZSTD_e_continue, finishFlush: ZSTD_e_end, fullFlush: ZSTD_e_flush });
  }
}

class ZstdCompress extends Zstd {
  constructor(options) {
    super(options, ZSTD_ENCODE);
  }
}

class ZstdDecompress extends Zstd {
  constructor(options) {
    super(options, ZSTD_DECODE);
  }
}

// ---- functions

function inputOf(engine, buffer) {
  if (typeof buffer === "string") return Buffer.from(buffer);
  if (ArrayBuffer.isView(buffer)) return buffer;
  if (isAnyArrayBuffer(buffer)) return Buffer.from(buffer);
  closeHandle(engine);
  throw new ERR_INVALID_ARG_TYPE("buffer", ["string", "Buffer", "TypedArray", "DataView", "ArrayBuffer"], buffer);
}

function collectSync(engine, buffer) {
  const result = processSync(engine, inputOf(engine, buffer), engine._finishFlushFlag);
  return engine._info ? { buffer: result, engine } : result;
}

// All in one later turn: many at once would each keep their memory until all are done.
function collect(engine, buffer, callback) {
  validateFunction(callback, "callback");
  const input = inputOf(engine, buffer);
  setImmediate(() => {
    let result;
    try {
      result = collectSync(engine, input);
    } catch (error) {
      callback(error);
      return;
    }
    callback(null, result);
  });
}

function functions(Class, name) {
  const made = {
    [name](buffer, options, callback) {
      if (typeof options === "function") {
        callback = options;
        options = {};
      }
      collect(new Class(options), buffer, callback);
    },
    [`${name}Sync`](buffer, options) {
      return collectSync(new Class(options), buffer);
    },
  };
  return made;
}

function crc32(data, value = 0) {
  if (typeof data === "string") data = Buffer.from(data);
  else if (!ArrayBuffer.isView(data)) {
    throw new ERR_INVALID_ARG_TYPE("data", ["Buffer", "TypedArray", "DataView", "string"], data);
  }
  validateUint32(value, "value");
  return op_zlib_crc32(bytes(data), value);
}

module.exports = {
  Deflate,
  Inflate,
  Gzip,
  Gunzip,
  DeflateRaw,
  InflateRaw,
  Unzip,
  BrotliCompress,
  BrotliDecompress,
  ZstdCompress,
  ZstdDecompress,
  ...functions(Deflate, "deflate"),
  ...functions(Inflate, "inflate"),
  ...functions(Gzip, "gzip"),
  ...functions(Gunzip, "gunzip"),
  ...functions(DeflateRaw, "deflateRaw"),
  ...functions(InflateRaw, "inflateRaw"),
  ...functions(Unzip, "unzip"),
  ...functions(BrotliCompress, "brotliCompress"),
  ...functions(BrotliDecompress, "brotliDecompress"),
  ...functions(ZstdCompress, "zstdCompress"),
  ...functions(ZstdDecompress, "zstdDecompress"),
  crc32,
};

const creators = {
  createDeflate: Deflate,
  createInflate: Inflate,
  createDeflateRaw: DeflateRaw,
  createInflateRaw: InflateRaw,
  createGzip: Gzip,
  createGunzip: Gunzip,
  createUnzip: Unzip,
  createBrotliCompress: BrotliCompress,
  createBrotliDecompress: BrotliDecompress,
  createZstdCompress: ZstdCompress,
  createZstdDecompress: ZstdDecompress,
};
for (const [name, Class] of Object.entries(creators)) {
  const create = {
    [name](options) {
      return new Class(options);
    },
  }[name];
  Object.defineProperty(module.exports, name, { configurable: true, enumerable: true, value: create });
}
Object.defineProperty(module.exports, "constants", { enumerable: true, value: constants });
Object.defineProperty(module.exports, "codes", { enumerable: true, value: Object.freeze(returnCodes) });
// The names under which the constants were once found.
for (const [name, value] of Object.entries(constants)) {
  Object.defineProperty(module.exports, name, { enumerable: false, value });
}
