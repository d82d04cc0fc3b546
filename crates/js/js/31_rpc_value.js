// What travels in RPC messages: values by structured clone, and beside them a table of what structured clone cannot carry.
//
// Encoding copies the containers of a value (objects, arrays, maps, sets) and puts placeholders where something of the table
// belongs; V8's serializer writes a placeholder as its index. Decoding makes the table's things first, and the deserializer
// puts them in their places, so that cycles and shared references survive. Errors are in the table too, because structured
// clone drops their own properties: these travel in a second list beside the value, and are set when all of it is there.
//
// A value may also be stored (`env` of a dynamic worker): then there is no session, and what lives by one is refused.
//
// Entries, as JSON: ["s", export] stub, ["y", export] a stub of the receiver's own, ["v", channel] service, ["i", channel]
// ReadableStream, ["o", channel] WritableStream, ["h", wire] Headers, ["q", ...] Request, ["p", ...] Response, ["e", class]
// error, ["d", name, message] DOMException.
(function () {
const { core } = __bootstrap;
const {
  op_body_fail,
  op_body_finish,
  op_body_open,
  op_body_ready,
  op_body_write,
  op_rpc_attach_bytes,
  op_rpc_attach_service,
  op_rpc_attach_sink,
  op_rpc_attach_socket,
  op_rpc_attach_source,
  op_rpc_detach,
} = core.ops;
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { AbortSignal } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { ReadableStream, TransformStream, WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { Headers, headersFromWire, headersToWire } = core.loadExtScript("ext:atoll_js/10_headers.js");
const { Body, BYTES, knownLength, NATIVE, TEXT, USED } = core.loadExtScript("ext:atoll_js/12_body.js");
const { isRequest, Request, requestBody } = core.loadExtScript("ext:atoll_js/13_request.js");
const { isResponse, responseFromNative, responseParts } = core.loadExtScript("ext:atoll_js/14_response.js");
const { pump } = core.loadExtScript("ext:atoll_js/15_fetch.js");
const { webSocketFromNative, leaveWebSocket } = core.loadExtScript("ext:atoll_js/20_websocket.js");
const { RpcTarget } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { ERRORS, isStub, localStub, makeStub, rpcKind, setCodec, stubHook } = core.loadExtScript("ext:atoll_js/30_rpc.js");

// Classes of errors that arrive as what they were.
const CLASSES = { ...ERRORS, AggregateError };
const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
// Things of the table that one message may hold.
const CAPABILITIES_MAX = 10_000;
const HOST = core.hostObjectBrand;

// Service stubs' handles: set by 32_service.js.
let serviceHandle = () => null;
let makeService;
let isLoopback;
let isDynamic;

const DYNAMIC = "Entrypoints to dynamically-loaded workers cannot be transferred to other Workers, because the system does not know " +
  "how to reload this Worker from scratch. Instead, have the parent Worker expose an entrypoint which constructs the dynamic " +
  "worker and forwards to it.";

function notStored(what) {
  return new DOMException(`${what} can only be serialized for RPC.`, "DataCloneError");
}

function uncloneable(value) {
  const name = value.constructor?.name || "Object";
  return new DOMException(`Could not serialize object of type "${name}". This type does not support serialization.`, "DataCloneError");
}

class Encoder {
  hosts = [];
  table = [];
  extras = [];
  #exported = [];
  #copies = new Map();
  #channels = 0;
  #after = [];

  // moves: stubs in the value are given away, not shared.
  constructor(session, moves) {
    this.session = session;
    this.moves = moves;
  }

  encode(value) {
    let bytes;
    try {
      const copy = this.#copy(value);
      bytes = core.serialize([copy, this.extras], { hostObjects: this.hosts, forStorage: true }, (message) => {
        throw new DOMException(message, "DataCloneError");
      });
      if (bytes.byteLength > MESSAGE_BYTES_MAX) {
        throw new Error(
          `Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: ${bytes.byteLength} bytes.`,
        );
      }
    } catch (error) {
      if (!this.session.stored) {
        op_rpc_detach(this.session.link);
        this.session.unexport(this.#exported);
      }
      throw error;
    }
    // What is given away goes when the message has gone.
    const sent = () => {
      for (const act of this.#after) act();
    };
    return { table: this.table, bytes, sent };
  }

  #host(value, entry) {
    if (this.table.length >= CAPABILITIES_MAX) {
      throw new Error(`An RPC message may hold at most ${CAPABILITIES_MAX} functions, stubs, streams and errors.`);
    }
    const placeholder = { [HOST]: true };
    this.hosts.push(placeholder);
    this.table.push(entry);
    this.#copies.set(value, placeholder);
    return placeholder;
  }

  #export(value) {
    const id = this.session.export(value);
    this.#exported.push(id);
    return id;
  }

  #copy(value) {
    if (value === null || (typeof value !== "object" && typeof value !== "function")) return value;
    const known = this.#copies.get(value);
    if (known !== undefined) return known;
    const kind = rpcKind(value);
    if (kind !== undefined) return this.#stub(value, kind);
    if (typeof value === "function") {
      const service = serviceHandle(value);
      if (service !== null) return this.#service(value, service);
      if (this.session.stored) throw new DOMException(`${value} could not be cloned.`, "DataCloneError");
      return this.#host(value, ["s", this.#export(value)]);
    }
    if (Array.isArray(value)) {
      const copy = new Array(value.length);
      this.#copies.set(value, copy);
      return this.#own(value, copy);
    }
    if (core.isProxy(value)) {
      const service = serviceHandle(value);
      return service !== null ? this.#service(value, service) : value;
    }
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype) {
      const copy = {};
      this.#copies.set(value, copy);
      return this.#own(value, copy);
    }
    if (core.isMap(value)) {
      const copy = new Map();
      this.#copies.set(value, copy);
      for (const [key, item] of value) copy.set(this.#copy(key), this.#copy(item));
      return copy;
    }
    if (core.isSet(value)) {
      const copy = new Set();
      this.#copies.set(value, copy);
      for (const item of value) copy.add(this.#copy(item));
      return copy;
    }
    if (value instanceof DOMException) return this.#host(value, ["d", value.name, value.message]);
    if (core.isNativeError(value)) return this.#error(value);
    if (value instanceof RpcTarget) {
      if (this.session.stored) throw notStored("Remote RPC references");
      return this.#host(value, ["s", this.#export(value)]);
    }
    if (isRequest(value)) return this.#request(value);
    if (isResponse(value)) return this.#response(value);
    if (value instanceof Headers) return this.#host(value, ["h", headersToWire(value)]);
    if (value instanceof ReadableStream) return this.#host(value, ["i", this.#stream(value)]);
    if (value instanceof WritableStream) return this.#host(value, ["o", ...this.#sink(value)]);
    if (value instanceof AbortSignal) throw new DOMException("AbortSignal serialization is not enabled.", "DataCloneError");
    // What structured clone knows, or refuses in its own words.
    if (
      core.isAnyArrayBuffer(value) || ArrayBuffer.isView(value) || core.isDate(value) || core.isRegExp(value) ||
      core.isBoxedPrimitive(value) || core.isPromise(value) || core.isWeakMap(value) || core.isWeakSet(value)
    ) return value;
    throw uncloneable(value);
  }

  #own(value, copy) {
    for (const key of Object.keys(value)) {
      Object.defineProperty(copy, key, { value: this.#copy(value[key]), writable: true, enumerable: true, configurable: true });
    }
    return copy;
  }

  #stub(value, kind) {
    if (this.session.stored) throw notStored("Remote RPC references");
    if (!isStub(value)) throw uncloneable(value);
    const state = stubHook(value);
    if (state.disposed) throw new Error("RPC stub used after being disposed.");
    const { hook } = state;
    if (this.moves) this.#after.push(() => value[Symbol.dispose]());
    // One that came from there goes home.
    if (hook.session === this.session) return this.#host(value, ["y", hook.id]);
    return this.#host(value, ["s", this.#export(value.dup())]);
  }

  #service(value, handle) {
    if (isDynamic(value)) throw new DOMException(DYNAMIC, "DataCloneError");
    if (this.session.stored) {
      if (isLoopback(value)) {
        throw new DOMException('Could not serialize object of type "LoopbackServiceStub". This type does not support serialization.', "DataCloneError");
      }
      this.session.services.push(handle);
    } else {
      op_rpc_attach_service(this.session.link, handle);
    }
    return this.#host(value, ["v", this.#channels++]);
  }

  #error(value) {
    let type = "Error";
    for (let p = Object.getPrototypeOf(value); p !== null; p = Object.getPrototypeOf(p)) {
      const name = Object.hasOwn(p, "constructor") ? p.constructor?.name : "";
      if (Object.hasOwn(CLASSES, name) && CLASSES[name].prototype === p) {
        type = name;
        break;
      }
    }
    const index = this.table.length;
    const placeholder = this.#host(value, ["e", type]);
    const fields = {};
    this.extras.push([index, fields]);
    for (const key of Object.getOwnPropertyNames(value)) {
      const field = value[key];
      fields[key] = this.#copy(field);
    }
    if (!Object.hasOwn(fields, "message")) fields.message = `${value.message}`;
    return placeholder;
  }

  // Bytes of a stream, on a channel.
  #stream(stream) {
    if (this.session.stored) throw notStored("ReadableStream");
    if (stream.locked) {
      throw new TypeError("The ReadableStream has been locked to a reader.");
    }
    const [sender, source] = op_body_open(knownLength(stream) ?? -1);
    op_rpc_attach_source(this.session.link, source);
    this.#after.push(() => pump(textAsBytes(stream), sender).catch(() => {}));
    return this.#channels++;
  }

  #sink(stream) {
    if (this.session.stored) throw notStored("WritableStream");
    if (stream.locked) throw new TypeError("The WritableStream has been locked to a writer.");
    const [sender, source] = op_body_open(-1);
    op_rpc_attach_sink(this.session.link, sender);
    const { promise, resolve } = Promise.withResolvers();
    this.#after.push(() => Body.native(source).toStream().pipeTo(stream).then(() => resolve([]), (error) => resolve([error])));
    // The other side asks how it ended: the stream was closed, or takes no more for this reason. Its writer is told, so it is
    // nobody's uncaught exception.
    return [this.#channels++, this.#export(() => promise)];
  }

  // The channel of a body, or null.
  #body(body) {
    if (body === null) return null;
    if (this.session.stored) throw notStored("ReadableStream");
    if (body.isUnusable) throw new TypeError(USED);
    const { link } = this.session;
    const { kind, value } = body;
    if (kind === TEXT) op_rpc_attach_bytes(link, core.encode(value));
    else if (kind === BYTES) op_rpc_attach_bytes(link, value);
    else if (kind === NATIVE) op_rpc_attach_source(link, value);
    else return this.#stream(value);
    body.used = true;
    return this.#channels++;
  }

  #request(request) {
    const { method, url, redirect, cf } = request;
    const body = this.#body(requestBody(request));
    return this.#host(request, ["q", method, url, headersToWire(request.headers), redirect, body, cf === undefined ? null : JSON.stringify(cf) ?? null]);
  }

  #response(response) {
    const { status, statusText, body, webSocket, manualEncoding } = responseParts(response);
    let socket = null;
    if (webSocket !== null) {
      if (this.session.stored) throw notStored("WebSocket");
      const native = leaveWebSocket(webSocket);
      if (native === null) throw new DOMException("A WebSocket of this worker's own cannot be sent over RPC.", "DataCloneError");
      op_rpc_attach_socket(this.session.link, native);
      socket = this.#channels++;
    }
    const channel = this.#body(body);
    return this.#host(response, ["p", status, statusText, headersToWire(response.headers), channel, socket, manualEncoding, response.url, response.redirected]);
  }
}

// Strings in a stream travel as their UTF-8 bytes.
function textAsBytes(stream) {
  if (knownLength(stream) !== null) return stream;
  return stream.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(typeof chunk === "string" ? core.encode(chunk) : chunk);
    },
  }));
}

function encode(session, value, moves) {
  return new Encoder(session, moves).encode(value);
}

// { table, bytes, services }: the table as text, the services as native handles.
function encodeStored(value) {
  const session = { stored: true, services: [] };
  const { table, bytes } = new Encoder(session, false).encode(value);
  return { table: JSON.stringify(table), bytes, services: session.services };
}

function decodeStored(bytes, table, services) {
  return decode(null, JSON.parse(table), bytes, services);
}

// What came with a value and is held until it is disposed of: value -> stubs.
const received = new WeakMap();

function decode(session, table, data, channels) {
  if (data.byteLength === 0) return undefined;
  const stubs = [];
  const hosts = table.map((entry) => revive(session, entry, channels, stubs));
  const [value, extras] = core.deserialize(data, { hostObjects: hosts, forStorage: true });
  for (const [index, fields] of extras) {
    for (const key of Object.keys(fields)) {
      Object.defineProperty(hosts[index], key, {
        value: fields[key], writable: true, configurable: true, enumerable: key !== "message" && key !== "stack" && key !== "cause",
      });
    }
  }
  if (session !== null && value !== null && typeof value === "object" && !isStub(value)) {
    if (stubs.length !== 0) received.set(value, stubs);
    if (DISPOSABLE.has(Object.getPrototypeOf(value))) {
      Object.defineProperty(value, Symbol.dispose, { value: () => disposeReceived(value), writable: true, configurable: true });
    }
  }
  return value;
}

const DISPOSABLE = new Set([Object.prototype, Array.prototype, Map.prototype, Set.prototype]);

function disposeReceived(value) {
  if (value === null || (typeof value !== "object" && typeof value !== "function")) return;
  if (isStub(value)) value[Symbol.dispose]();
  else for (const stub of received.get(value) ?? []) stub[Symbol.dispose]();
}

function revive(session, entry, channels, stubs) {
  switch (entry[0]) {
    case "s": {
      const stub = makeStub(session.importHook(entry[1]));
      stubs.push(stub);
      return stub;
    }
    case "y": {
      const own = session.exports.get(entry[1]);
      if (own === undefined) throw new Error("The destination object for this RPC no longer exists.");
      const stub = isStub(own) ? own.dup() : localStub(own);
      stubs.push(stub);
      return stub;
    }
    case "v":
      return makeService(channels[entry[1]]);
    case "i":
      return Body.native(channels[entry[1]]).toStream();
    case "o":
      return sinkStream(channels[entry[1]], session.importHook(entry[2]));
    case "h": {
      // Mutable, unlike those of a message from outside.
      return new Headers(headersFromWire(entry[1]));
    }
    case "q": {
      const [, method, url, headers, redirect, channel, cf] = entry;
      const init = { method, headers: headersFromWire(headers), redirect, cf: cf === null ? undefined : JSON.parse(cf) };
      if (channel !== null) init.body = Body.native(channels[channel]).toStream();
      return new Request(url, init);
    }
    case "p": {
      const [, status, statusText, headers, channel, socket, manualEncoding, url, redirected] = entry;
      return responseFromNative({
        status,
        statusText,
        headers,
        url,
        redirected,
        body: channel === null ? null : Body.native(channels[channel]),
        webSocket: socket === null ? null : webSocketFromNative(channels[socket]),
        manualEncoding,
      });
    }
    case "e":
      return entry[1] === "AggregateError" ? new AggregateError([]) : new (ERRORS[entry[1]] ?? Error)();
    default:
      return new DOMException(entry[2], entry[1]);
  }
}

// A stream that writes into a channel. `end` is the other side's: called, it says how its stream ended.
function sinkStream(sender, end) {
  const ended = async () => {
    let failed;
    try {
      failed = await end.call([], []).result;
    } finally {
      end.release();
    }
    if (failed.length !== 0) throw failed[0];
  };
  return new WritableStream({
    async write(chunk) {
      let bytes = chunk;
      if (typeof chunk === "string") bytes = core.encode(chunk);
      else if (core.isAnyArrayBuffer(chunk)) bytes = new Uint8Array(chunk);
      else if (ArrayBuffer.isView(chunk)) bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      else throw new TypeError("A WritableStream received over RPC takes ArrayBuffers, views of them and strings.");
      if (!op_body_write(sender, bytes) && !(await op_body_ready(sender))) {
        // Its own error says more.
        await ended();
        throw new TypeError("The other side of this WritableStream is gone.");
      }
    },
    async close() {
      op_body_finish(sender);
      await ended();
    },
    abort(reason) {
      op_body_fail(sender, `${reason}`);
      end.release();
    },
  });
}

function setServices(services) {
  ({ isDynamic, isLoopback, serviceHandle, makeService } = services);
}

setCodec({ encode, decode, disposeReceived });

return { decodeStored, encodeStored, setServices };
})();
