// Node's streams as the platform's and the other way round: toWeb and fromWeb.

const { AbortError, codes } = require("internal/streams/errors");
const { validateBoolean, validateObject } = require("internal/validators");
const { nextTick } = require("internal/next_tick");
const { ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_STREAM_PREMATURE_CLOSE } = codes;

function isReadableWeb(value) {
  return value instanceof ReadableStream;
}

function isWritableWeb(value) {
  return value instanceof WritableStream;
}

// What a stream throws when its callback does: an exception that nobody catches.
function throwLater(error) {
  nextTick(() => {
    throw error;
  });
}

// ERR_STREAM_PREMATURE_CLOSE is how eos tells a stream that was destroyed; the other side knows it as an abort.
function reasonOf(error) {
  if (error?.code !== "ERR_STREAM_PREMATURE_CLOSE") return error;
  return new AbortError(undefined, { cause: error });
}

function install(Stream) {
  const { destroy, Duplex, finished: eos, Readable, Writable } = Stream;

  function readableToWeb(readable, options = {}) {
    if (typeof readable?._readableState !== "object") {
      throw new ERR_INVALID_ARG_TYPE("streamReadable", "stream.Readable", readable);
    }
    validateObject(options, "options");
    if (Stream.isDestroyed(readable) || !Stream.isReadable(readable)) {
      const ended = new ReadableStream();
      ended.cancel();
      return ended;
    }
    const { objectMode, readableHighWaterMark: highWaterMark } = {
      objectMode: readable.readableObjectMode,
      readableHighWaterMark: readable.readableHighWaterMark,
    };
    const strategy = options.strategy ??
      (objectMode ? new CountQueuingStrategy({ highWaterMark }) : { highWaterMark });
    let controller;
    const stopped = eos(readable, { writable: false }, (error) => {
      error = reasonOf(error);
      stopped();
      // Errors may come late; there is nobody left to tell.
      readable.on("error", () => {});
      if (error) {
        controller.error(error);
        return;
      }
      try {
        controller.close();
      } catch {
        // It was cancelled.
      }
    });
    readable.pause();
    readable.on("data", (chunk) => {
      // A view of its own: the pool behind a Buffer belongs to others.
      if (!objectMode && ArrayBuffer.isView(chunk)) {
        chunk = new Uint8Array(chunk.buffer.slice(chunk.byteOffset, chunk.byteOffset + chunk.byteLength));
      }
      controller.enqueue(chunk);
      if (controller.desiredSize <= 0) readable.pause();
    });
    return new ReadableStream({
      start(own) {
        controller = own;
      },
      pull() {
        readable.resume();
      },
      cancel(reason) {
        destroy(readable, reason);
      },
    }, strategy);
  }

  function readableFromWeb(readableStream, options = {}) {
    if (!isReadableWeb(readableStream)) {
      throw new ERR_INVALID_ARG_TYPE("readableStream", "ReadableStream", readableStream);
    }
    validateObject(options, "options");
    const { highWaterMark, encoding, objectMode = false, signal } = options;
    if (encoding !== undefined && !require("buffer").Buffer.isEncoding(encoding)) {
      throw new ERR_INVALID_ARG_VALUE(encoding, "options.encoding");
    }
    validateBoolean(objectMode, "options.objectMode");
    const reader = readableStream.getReader();
    let closed = false;
    const readable = new Readable({
      objectMode,
      highWaterMark,
      encoding,
      signal,
      read() {
        reader.read().then(
          ({ done, value }) => {
            if (done) readable.push(null);
            else readable.push(value);
          },
          (error) => destroy(readable, error),
        );
      },
      destroy(error, callback) {
        const done = () => {
          try {
            callback(error);
          } catch (thrown) {
            throwLater(thrown);
          }
        };
        if (closed) {
          done();
          return;
        }
        reader.cancel(error).then(done, done);
      },
    });
    reader.closed.then(
      () => {
        closed = true;
      },
      (error) => {
        closed = true;
        destroy(readable, error);
      },
    );
    return readable;
  }

  function writableToWeb(writable) {
    if (typeof writable?._writableState !== "object" || typeof writable.write !== "function") {
      throw new ERR_INVALID_ARG_TYPE("streamWritable", "stream.Writable", writable);
    }
    if (Stream.isDestroyed(writable) || !Stream.isWritable(writable)) {
      const closed = new WritableStream();
      closed.close();
      return closed;
    }
    const highWaterMark = writable.writableHighWaterMark;
    const strategy = writable.writableObjectMode ? new CountQueuingStrategy({ highWaterMark }) : { highWaterMark };
    let controller;
    // Settled by "drain" and by the stream's end.
    let drained;
    let closing;
    const stopped = eos(writable, (error) => {
      error = reasonOf(error);
      stopped();
      writable.on("error", () => {});
      if (error != null) {
        drained?.reject(error);
        if (closing !== undefined) {
          closing.reject(error);
          closing = undefined;
        }
        controller.error(error);
        controller = undefined;
        return;
      }
      if (closing !== undefined) {
        closing.resolve();
        closing = undefined;
        return;
      }
      controller.error(new AbortError());
      controller = undefined;
    });
    writable.on("drain", () => {
      drained?.resolve();
    });
    return new WritableStream({
      start(own) {
        controller = own;
      },
      write(chunk) {
        if (writable.writableNeedDrain || !writable.write(chunk)) {
          drained = Promise.withResolvers();
          return drained.promise.finally(() => {
            drained = undefined;
          });
        }
        return undefined;
      },
      abort(reason) {
        destroy(writable, reason);
      },
      close() {
        if (closing === undefined && !writable.writableFinished && writable._writableState.ending !== true) {
          closing = Promise.withResolvers();
          const { promise } = closing;
          writable.end();
          return promise;
        }
        if (controller === undefined) return Promise.resolve();
        closing ??= Promise.withResolvers();
        return closing.promise;
      },
    }, strategy);
  }

  function writableFromWeb(writableStream, options = {}) {
    if (!isWritableWeb(writableStream)) {
      throw new ERR_INVALID_ARG_TYPE("writableStream", "WritableStream", writableStream);
    }
    validateObject(options, "options");
    const { highWaterMark, decodeStrings = true, objectMode = false, signal } = options;
    validateBoolean(objectMode, "options.objectMode");
    validateBoolean(decodeStrings, "options.decodeStrings");
    const { write, writev, final, destroyWriter, watch } = writing(writableStream.getWriter());
    const writable = new Writable({
      highWaterMark,
      objectMode,
      decodeStrings,
      signal,
      write: (chunk, encoding, callback) => write(chunk, encoding, callback, decodeStrings, objectMode, writable),
      writev: (chunks, callback) => writev(chunks, callback, writable),
      destroy: (error, callback) => destroyWriter(error, callback),
      final: (callback) => final(callback),
    });
    watch(writable);
    return writable;
  }

  // The methods of a Node stream that write to a writer.
  function writing(writer) {
    let closed = false;
    const settle = (callback, error, stream) => {
      try {
        callback(error);
      } catch (thrown) {
        nextTick(() => destroy(stream, thrown));
      }
    };
    return {
      write(chunk, encoding, callback, decodeStrings, objectMode, stream) {
        if (typeof chunk === "string" && decodeStrings && !objectMode) {
          chunk = require("buffer").Buffer.from(chunk, encoding);
          chunk = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
        }
        writer.ready.then(
          () => writer.write(chunk).then(() => settle(callback, undefined, stream), (error) => settle(callback, error, stream)),
          (error) => settle(callback, error, stream),
        );
      },
      writev(chunks, callback, stream) {
        const all = () => Promise.all(chunks.map(({ chunk }) => writer.write(chunk)));
        writer.ready.then(
          () => all().then(() => settle(callback, undefined, stream), (error) => settle(callback, error, stream)),
          (error) => settle(callback, error, stream),
        );
      },
      final(callback) {
        const done = (error) => {
          try {
            callback(error);
          } catch (thrown) {
            throwLater(thrown);
          }
        };
        if (closed) {
          done();
          return;
        }
        writer.close().then(() => done(), done);
      },
      destroyWriter(error, callback) {
        const done = () => {
          try {
            callback(error);
          } catch (thrown) {
            throwLater(thrown);
          }
        };
        if (closed) {
          done();
          return;
        }
        const ended = error != null ? writer.abort(error) : writer.close();
        ended.then(done, done);
      },
      watch(stream) {
        writer.closed.then(
          () => {
            closed = true;
            if (!stream.writableEnded) destroy(stream, new ERR_STREAM_PREMATURE_CLOSE());
          },
          (error) => {
            closed = true;
            destroy(stream, error);
          },
        );
      },
    };
  }

  function duplexToWeb(duplex) {
    if (typeof duplex?._writableState !== "object" || typeof duplex?._readableState !== "object") {
      throw new ERR_INVALID_ARG_TYPE("duplex", "stream.Duplex", duplex);
    }
    if (Stream.isDestroyed(duplex)) {
      const writable = new WritableStream();
      const readable = new ReadableStream();
      writable.close();
      readable.cancel();
      return { readable, writable };
    }
    const writable = writableToWeb(duplex);
    const readable = readableToWeb(duplex);
    return { writable, readable };
  }

  function duplexFromWeb(pair, options = {}) {
    validateObject(pair, "pair");
    const { readable: readableStream, writable: writableStream } = pair;
    if (!isReadableWeb(readableStream)) {
      throw new ERR_INVALID_ARG_TYPE("pair.readable", "ReadableStream", readableStream);
    }
    if (!isWritableWeb(writableStream)) {
      throw new ERR_INVALID_ARG_TYPE("pair.writable", "WritableStream", writableStream);
    }
    validateObject(options, "options");
    const { allowHalfOpen = false, objectMode = false, encoding, decodeStrings = true, highWaterMark, signal } = options;
    validateBoolean(objectMode, "options.objectMode");
    if (encoding !== undefined && !require("buffer").Buffer.isEncoding(encoding)) {
      throw new ERR_INVALID_ARG_VALUE(encoding, "options.encoding");
    }
    const { write, writev, final, destroyWriter, watch } = writing(writableStream.getWriter());
    const reader = readableStream.getReader();
    let readerClosed = false;
    const duplex = new Duplex({
      allowHalfOpen,
      highWaterMark,
      objectMode,
      encoding,
      decodeStrings,
      signal,
      write: (chunk, chunkEncoding, callback) => write(chunk, chunkEncoding, callback, decodeStrings, objectMode, duplex),
      writev: (chunks, callback) => writev(chunks, callback, duplex),
      final: (callback) => final(callback),
      read() {
        reader.read().then(
          ({ done, value }) => {
            if (done) duplex.push(null);
            else duplex.push(value);
          },
          (error) => destroy(duplex, error),
        );
      },
      destroy(error, callback) {
        const cancel = readerClosed ? Promise.resolve() : reader.cancel(error);
        cancel.then(() => destroyWriter(error, callback), () => destroyWriter(error, callback));
      },
    });
    watch(duplex);
    reader.closed.then(
      () => {
        readerClosed = true;
      },
      (error) => {
        readerClosed = true;
        destroy(duplex, error);
      },
    );
    return duplex;
  }

  Readable.fromWeb = readableFromWeb;
  Readable.toWeb = readableToWeb;
  Writable.fromWeb = writableFromWeb;
  Writable.toWeb = writableToWeb;
  Duplex.fromWeb = duplexFromWeb;
  Duplex.toWeb = duplexToWeb;
}

module.exports = { install };
