// WebSocketPair and WebSocket, as the platform has them: two ends in one worker, one of which usually leaves with a
// response. An end talks either to its peer here (#peer) or to a native socket (#native), never to both.
(function () {
const { core } = __bootstrap;
const { op_void_async_deferred, op_ws_close, op_ws_drop, op_ws_recv, op_ws_send_binary, op_ws_send_text } = core.ops;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { CloseEvent, defineEventHandler, ErrorEvent, Event, EventTarget, MessageEvent } = core.loadExtScript("ext:deno_web/02_event.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { Blob } = core.loadExtScript("ext:deno_web/09_file.js");
const { structuredClone } = core.loadExtScript("ext:deno_web/13_message_port.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { assertInHandler, assertSameEvent, currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");
const { boundText } = core.loadExtScript("ext:atoll_js/03_account.js");

const { enabled } = core.loadExtScript("ext:atoll_js/28_compat.js");

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
const NATIVE = Symbol("native");
const NO_BYTES = new Uint8Array(0);
// As the platform has it for what a Durable Object keeps with a socket.
const ATTACHMENT_BYTES_MAX = 16384;
const REASON_BYTES_MAX = 123;
const NOT_ACCEPTED = "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.";
const LOST = "WebSocket disconnected without sending Close frame.";

// The global fetch; set before any worker runs.
let outgoingFetch;

// What a listener throws ends the connection, as the platform has it: each listener runs in a function that notes it, by
// the event.
const failures = new WeakMap();
const guards = new WeakMap();

function guarded(listener) {
  if (listener === null || (typeof listener !== "object" && typeof listener !== "function")) return listener;
  let guard = guards.get(listener);
  if (guard === undefined) {
    guard = function (event) {
      try {
        return typeof listener === "function" ? listener.call(this, event) : listener.handleEvent(event);
      } catch (error) {
        if (event.type === "message") {
          failures.set(event, { error });
          event.stopImmediatePropagation();
        }
        throw error;
      }
    };
    guards.set(listener, guard);
  }
  return guard;
}

class WebSocket extends EventTarget {
  #native = null;
  #peer = null;
  #accepted = false;
  // Left with a response: belongs to the client now.
  #gone = false;
  #state = OPEN;
  // Messages that arrived before accept().
  #early = [];
  // Messages of a peer in this worker that are on their way here; null while none is.
  #coming = null;
  #binaryType = enabled("websocket_standard_binary_type") ? "blob" : "arraybuffer";
  // accept({ allowHalfOpen: true }), or a date before closes were answered by themselves: close() is the handler's affair.
  #halfOpen = null;
  // The event that made it: another one's handler must not use it.
  #event = currentEvent();
  #protocol = "";
  #url = null;
  #attachment = null;
  // Left with a response, and coupled: who passes on what still arrives here.
  #relay = null;
  #closeSent = false;
  #closeReceived = false;

  constructor(url, protocols = undefined) {
    super();
    if (url === NATIVE) return;
    webidl.requiredArguments(arguments.length, 1, "Failed to construct 'WebSocket'");
    assertInHandler();
    this.#connect(url, protocols);
  }

  #connect(url, protocols) {
    let parsed;
    try {
      parsed = new URL(`${url}`);
    } catch {
      throw new DOMException("WebSocket Constructor: The url is invalid.", "SyntaxError");
    }
    if (parsed.protocol === "http:") parsed.protocol = "ws:";
    if (parsed.protocol === "https:") parsed.protocol = "wss:";
    if (parsed.protocol !== "ws:" && parsed.protocol !== "wss:") {
      throw new DOMException("WebSocket Constructor: The url scheme must be ws or wss.", "SyntaxError");
    }
    if (parsed.hash !== "" || parsed.href.endsWith("#")) {
      throw new DOMException("WebSocket Constructor: The url fragment must be empty.", "SyntaxError");
    }
    this.#url = parsed.href;
    this.#state = CONNECTING;
    const list = protocols === undefined || protocols === null
      ? []
      : typeof protocols === "object"
      ? Array.from(protocols, (name) => `${name}`)
      : [`${protocols}`];
    for (const name of list) {
      if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) {
        throw new DOMException("WebSocket Constructor: The protocol header token is invalid.", "SyntaxError");
      }
    }
    if (new Set(list.map((name) => name.toLowerCase())).size !== list.length) {
      throw new DOMException("WebSocket Constructor: The protocols header cannot have repeating values.", "SyntaxError");
    }
    const target = new URL(parsed.href.replace(/^ws/, "http"));
    const headers = { upgrade: "websocket" };
    if (list.length !== 0) headers["sec-websocket-protocol"] = list.join(", ");
    outgoingFetch(target.href, { headers }).then((response) => {
      const socket = response.webSocket;
      if (socket === null) {
        throw new TypeError(
          "Failed to establish the WebSocket connection: expected server to reply with HTTP status code 101 (switching protocols), " +
            `but received ${response.status} instead.`,
        );
      }
      if (this.#state === CLOSING) {
        // close() was called before the connection was made.
        op_ws_close(socket.#native, 1001, "");
        throw new Error("The WebSocket was closed before the connection was established.");
      }
      this.#native = socket.#native;
      this.#protocol = socket.#protocol;
      this.#state = OPEN;
      this.#accepted = true;
      this.dispatchEvent(new Event("open"));
      this.#receive();
    }).catch((error) => {
      this.#state = CLOSED;
      this.#closeReceived = true;
      this.dispatchEvent(new ErrorEvent("error", { message: `Uncaught ${error}`, error }));
      this.dispatchEvent(new CloseEvent("close", { code: 1006, reason: "Failed to establish websocket connection", wasClean: false }));
    });
  }

  addEventListener(type, listener, options = undefined) {
    webidl.requiredArguments(arguments.length, 2, "Failed to execute 'addEventListener' on 'EventTarget'");
    super.addEventListener(type, guarded(listener), options);
  }

  removeEventListener(type, listener, options = undefined) {
    webidl.requiredArguments(arguments.length, 2, "Failed to execute 'removeEventListener' on 'EventTarget'");
    super.removeEventListener(type, guarded(listener), options);
  }

  // Tells the listeners of something that came. If one throws, the connection is dropped without a closing handshake.
  #tell(event) {
    this.dispatchEvent(event);
    const failure = failures.get(event);
    if (failure === undefined || this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#closeSent = true;
    this.#closeReceived = true;
    if (this.#native !== null) op_ws_drop(this.#native);
    else if (this.#peer !== null) {
      const peer = this.#peer;
      if (!peer.#accepted) peer.#early.push([3]);
      else peer.#arrive([3]);
    }
    const { error } = failure;
    this.dispatchEvent(new ErrorEvent("error", { message: `Uncaught ${error}`, error }));
  }

  accept(options = undefined) {
    if (this.#gone) {
      throw new TypeError("Can't accept() WebSocket that was already used in a response.");
    }
    if (this.#url !== null) throw new TypeError("Websockets obtained from the 'new WebSocket()' constructor cannot call accept");
    assertSameEvent(this.#event, "Native");
    if (this.#accepted) return;
    this.#accepted = true;
    if (options?.allowHalfOpen !== undefined) this.#halfOpen = Boolean(options.allowHalfOpen);
    if (this.#native !== null) {
      this.#receive();
    } else {
      const early = this.#early;
      this.#early = [];
      for (const message of early) this.#arrive(message);
    }
  }

  // A message of the peer in this worker. It comes in a later turn, as one from outside would, and after those before it.
  #arrive(message) {
    if (this.#coming !== null) {
      this.#coming.push(message);
      return;
    }
    this.#coming = [message];
    this.#deliverComing();
  }

  async #deliverComing() {
    await op_void_async_deferred();
    const coming = this.#coming;
    for (let i = 0; i < coming.length; i++) {
      this.#deliver(coming[i]);
      // What the listeners' promises wait for comes between two messages.
      await null;
    }
    this.#coming = null;
  }

  // The loop over a native socket's messages; ends with the socket.
  async #receive() {
    const native = this.#native;
    while (true) {
      // [0, text] | [1, bytes] | [2, code or null, reason] | null
      const message = await op_ws_recv(native);
      this.#deliver(message ?? [3]);
      if (message === null || message[0] === 2 || this.#state === CLOSED) return;
    }
  }

  #deliver(message) {
    if (this.#closeReceived) return;
    if (this.#relay !== null) {
      this.#relay.#passOn(message);
      return;
    }
    if (!this.#accepted) {
      this.#early.push(message);
      return;
    }
    switch (message[0]) {
      case 0:
        this.#tell(new MessageEvent("message", { data: message[1] }));
        break;
      case 1: {
        const { buffer, byteOffset, byteLength } = message[1];
        const data = byteOffset === 0 && byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
        this.#tell(new MessageEvent("message", { data: this.binaryType === "blob" ? new Blob([data]) : data }));
        break;
      }
      case 2:
        this.#closeReceived = true;
        // Answer the closing handshake for a handler that does not.
        if (!this.#closeSent && !(this.#halfOpen ?? !enabled("web_socket_auto_reply_to_close"))) this.#transmitClose(message[1] ?? undefined, message[2]);
        this.#state = this.#closeSent ? CLOSED : CLOSING;
        this.dispatchEvent(new CloseEvent("close", { code: message[1] ?? 1005, reason: message[2], wasClean: true }));
        break;
      default:
        // Lost. After both closing frames that is just the end.
        this.#closeReceived = true;
        this.#closeSent = true;
        this.#state = CLOSED;
        this.dispatchEvent(new CloseEvent("close", { code: 1006, reason: LOST, wasClean: false }));
    }
  }

  #transmit(message) {
    if (this.#native !== null) {
      if (message[0] === 0) op_ws_send_text(this.#native, message[1]);
      else op_ws_send_binary(this.#native, message[1]);
    } else if (this.#peer !== null) {
      const peer = this.#peer;
      // At once to an end that does not listen yet: it may leave with a response before a microtask runs.
      if (!peer.#accepted) peer.#early.push(message);
      else peer.#arrive(message);
    }
  }

  #passOn(message) {
    if (message[0] === 2) this.#transmitClose(message[1] ?? undefined, message[2]);
    else this.#transmit(message);
  }

  #transmitClose(code, reason) {
    this.#closeSent = true;
    if (this.#native !== null) op_ws_close(this.#native, code ?? 0, reason);
    else if (this.#peer !== null) {
      const peer = this.#peer;
      if (!peer.#accepted) peer.#early.push([2, code ?? null, reason]);
      else peer.#arrive([2, code ?? null, reason]);
    }
  }

  send(data) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'send' on 'WebSocket'");
    if (this.#gone) throw new TypeError("Can't send() on a WebSocket that was already used in a response.");
    assertSameEvent(this.#event, "Native");
    if (this.#state === CONNECTING) throw new DOMException("Can't call WebSocket send() before it is open.", "InvalidStateError");
    if (!this.#accepted) throw new TypeError(NOT_ACCEPTED);
    if (this.#closeSent) throw new TypeError("Can't call WebSocket send() after close().");
    if (core.isAnyArrayBuffer(data)) this.#transmit([1, new Uint8Array(data.slice(0))]);
    else if (ArrayBuffer.isView(data)) {
      // A view whose buffer was given away has no bytes, and its buffer takes no views.
      const bytes = data.byteLength === 0 ? NO_BYTES : new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
      this.#transmit([1, bytes]);
    }
    // A Blob is text here, as any other object.
    else this.#transmit([0, boundText(`${data}`).toWellFormed()]);
  }

  close(code = undefined, reason = undefined) {
    if (this.#gone) throw new TypeError("Can't close() a WebSocket that was already used in a response.");
    if (!this.#accepted && this.#url === null) throw new TypeError(NOT_ACCEPTED);
    assertSameEvent(this.#event, "Native");
    if (code !== undefined) {
      code = Number(code) | 0;
      if (code < 1000 || code > 4999 || code === 1004 || code === 1005 || code === 1006 || code === 1015) {
        throw new DOMException(`Invalid WebSocket close code: ${code}.`, "InvalidAccessError");
      }
    } else if (reason !== undefined) {
      throw new DOMException("If you specify a WebSocket close reason, you must also specify a code.", "InvalidAccessError");
    }
    reason = reason === undefined ? "" : `${reason}`.toWellFormed();
    if (core.byteLength(reason) > REASON_BYTES_MAX) {
      throw new DOMException(`WebSocket close reason must not be longer than ${REASON_BYTES_MAX} bytes when UTF-8 encoded.`, "SyntaxError");
    }
    if (this.#closeSent || this.#state === CLOSED) return;
    if (this.#state === CONNECTING) {
      this.#state = CLOSING;
      return;
    }
    this.#transmitClose(code, reason);
    this.#state = this.#closeReceived ? CLOSED : CLOSING;
  }

  serializeAttachment(value) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'serializeAttachment' on 'WebSocket'");
    const copy = structuredClone(value);
    const size = core.serialize(copy).byteLength;
    if (size > ATTACHMENT_BYTES_MAX) {
      throw new Error(`A WebSocket 'attachment' cannot be larger than ${ATTACHMENT_BYTES_MAX} bytes.'attachment' was ${size} bytes.`);
    }
    this.#attachment = copy;
  }

  deserializeAttachment() {
    return this.#attachment === null ? null : structuredClone(this.#attachment);
  }

  get readyState() {
    return this.#state;
  }

  get url() {
    return this.#url;
  }

  get protocol() {
    return this.#protocol;
  }

  get extensions() {
    return "";
  }

  get bufferedAmount() {
    return 0;
  }

  get binaryType() {
    return this.#binaryType;
  }

  // An enumeration: WebIDL ignores other values.
  set binaryType(value) {
    if (value === "blob" || value === "arraybuffer") this.#binaryType = value;
  }

  static pair() {
    const [a, b] = [new WebSocket(NATIVE), new WebSocket(NATIVE)];
    a.#peer = b;
    b.#peer = a;
    return [a, b];
  }

  static fromNative([native, protocol]) {
    const socket = new WebSocket(NATIVE);
    socket.#native = native;
    socket.#protocol = protocol;
    return socket;
  }

  // The end leaves with a response. Returns the native socket it already is (an outgoing one that is passed on), or null:
  // then couple() must be called with the socket through which its peer will talk to the client.
  static leave(socket) {
    if (socket.#gone) throw new TypeError("Can't return WebSocket that was already used in a response.");
    if (socket.#accepted) throw new TypeError("Can't return WebSocket in a Response after calling accept().");
    socket.#gone = true;
    return socket.#native;
  }

  // Returns the end that stays.
  static couple(socket, native) {
    const peer = socket.#peer;
    peer.#native = native;
    peer.#peer = null;
    socket.#peer = null;
    // What the peer sent before the response is on its way first.
    for (const message of socket.#early) peer.#passOn(message);
    socket.#early = [];
    socket.#relay = peer;
    if (peer.#accepted) peer.#receive();
    return peer;
  }

  static is(value) {
    return value !== null && typeof value === "object" && #native in value;
  }
}

defineEventHandler(WebSocket.prototype, "message");
defineEventHandler(WebSocket.prototype, "close");
defineEventHandler(WebSocket.prototype, "error");
defineEventHandler(WebSocket.prototype, "open");

const { pair, fromNative, leave, couple, is } = WebSocket;
for (const name of ["pair", "fromNative", "leave", "couple", "is"]) delete WebSocket[name];

for (const holder of [WebSocket, WebSocket.prototype]) {
  for (const [name, value] of Object.entries({
    CONNECTING, OPEN, CLOSING, CLOSED,
    READY_STATE_CONNECTING: CONNECTING, READY_STATE_OPEN: OPEN, READY_STATE_CLOSING: CLOSING, READY_STATE_CLOSED: CLOSED,
  })) {
    Object.defineProperty(holder, name, { value, enumerable: true });
  }
}
webidl.configureInterface(WebSocket);

class WebSocketPair {
  constructor() {
    const [client, server] = pair();
    this[0] = client;
    this[1] = server;
  }

  *[Symbol.iterator]() {
    yield this[0];
    yield this[1];
  }
}

// Given by the fetch script, which needs this one.
function setFetch(fetch) {
  outgoingFetch = fetch;
}

return { coupleWebSocket: couple, isWebSocket: is, leaveWebSocket: leave, setFetch, WebSocket, webSocketFromNative: fromNative, WebSocketPair };
})();
