// WebSocketPair and WebSocket, as the platform has them: two ends in one worker, one of which usually leaves with a
// response. An end talks either to its peer here (#peer) or to a native socket (#native), never to both.
(function () {
const { core } = __bootstrap;
const { op_ws_close, op_ws_recv, op_ws_send_binary, op_ws_send_text } = core.ops;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { CloseEvent, defineEventHandler, ErrorEvent, Event, EventTarget, MessageEvent } = core.loadExtScript("ext:deno_web/02_event.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { Blob } = core.loadExtScript("ext:deno_web/09_file.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");

const { enabled } = core.loadExtScript("ext:atoll_js/28_compat.js");

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
const NATIVE = Symbol("native");
// The global fetch; set before any worker runs.
let outgoingFetch;

class WebSocket extends EventTarget {
  #native = null;
  #peer = null;
  #accepted = false;
  // Left with a response: belongs to the client now.
  #gone = false;
  #state = OPEN;
  // Messages that arrived before accept().
  #early = [];
  #binaryType = enabled("websocket_standard_binary_type") ? "blob" : "arraybuffer";
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
    this.#connect(url, protocols);
  }

  #connect(url, protocols) {
    let parsed;
    try {
      parsed = new URL(`${url}`);
    } catch {
      throw new DOMException(`WebSocket Constructor: The url is invalid: ${url}`, "SyntaxError");
    }
    if (parsed.protocol === "http:") parsed.protocol = "ws:";
    if (parsed.protocol === "https:") parsed.protocol = "wss:";
    if (parsed.protocol !== "ws:" && parsed.protocol !== "wss:") {
      throw new DOMException("WebSocket Constructor: The url scheme must be ws, wss, http or https.", "SyntaxError");
    }
    if (parsed.hash !== "" || parsed.href.endsWith("#")) {
      throw new DOMException("WebSocket Constructor: The url fragment must be empty.", "SyntaxError");
    }
    this.#url = parsed.href;
    this.#state = CONNECTING;
    const list = protocols === undefined ? [] : typeof protocols === "string" ? [protocols] : [...protocols];
    for (const [i, name] of list.entries()) {
      if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) || list.indexOf(name) !== i) {
        throw new DOMException(`WebSocket Constructor: The protocol "${name}" is invalid or repeated.`, "SyntaxError");
      }
    }
    const target = new URL(parsed.href.replace(/^ws/, "http"));
    const headers = { upgrade: "websocket" };
    if (list.length !== 0) headers["sec-websocket-protocol"] = list.join(", ");
    outgoingFetch(target.href, { headers }).then((response) => {
      const socket = response.webSocket;
      if (socket === null) throw new Error(`the server answered with status ${response.status} instead of 101`);
      this.#native = socket.#native;
      this.#protocol = socket.#protocol;
      this.#state = OPEN;
      this.#accepted = true;
      this.dispatchEvent(new Event("open"));
      this.#receive();
    }).catch((error) => {
      this.#state = CLOSED;
      this.dispatchEvent(new ErrorEvent("error", { message: `WebSocket connection failed: ${error.message}`, error }));
      this.dispatchEvent(new CloseEvent("close", { code: 1006, reason: "WebSocket connection failed", wasClean: false }));
    });
  }

  accept(options = undefined) {
    if (this.#gone) {
      throw new TypeError("Can't accept() WebSocket that was already used in a response.");
    }
    if (this.#accepted && this.#url !== null) throw new TypeError("Can't accept() WebSocket that was created with new WebSocket().");
    if (options?.allowHalfOpen !== undefined && typeof options.allowHalfOpen !== "boolean") {
      throw new TypeError("accept(): allowHalfOpen must be a boolean");
    }
    if (this.#accepted) return;
    this.#accepted = true;
    if (this.#native !== null) {
      this.#receive();
    } else {
      const early = this.#early;
      this.#early = [];
      for (const message of early) queueMicrotask(() => this.#deliver(message));
    }
  }

  // The loop over a native socket's messages; ends with the socket.
  async #receive() {
    const native = this.#native;
    while (true) {
      // [0, text] | [1, bytes] | [2, code or null, reason] | null
      const message = await op_ws_recv(native);
      this.#deliver(message ?? [3]);
      if (message === null || message[0] === 2) return;
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
        this.dispatchEvent(new MessageEvent("message", { data: message[1] }));
        break;
      case 1: {
        const { buffer, byteOffset, byteLength } = message[1];
        const data = byteOffset === 0 && byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
        this.dispatchEvent(new MessageEvent("message", { data: this.#binaryType === "blob" ? new Blob([data]) : data }));
        break;
      }
      case 2:
        this.#closeReceived = true;
        // Answer the closing handshake for a handler that does not.
        if (!this.#closeSent) {
          this.#state = CLOSING;
          this.#transmitClose(message[1] ?? undefined, message[2]);
        }
        this.#state = CLOSED;
        this.dispatchEvent(new CloseEvent("close", { code: message[1] ?? 1005, reason: message[2], wasClean: true }));
        break;
      default:
        this.#closeReceived = true;
        this.#state = CLOSED;
        this.dispatchEvent(new ErrorEvent("error", { message: "WebSocket disconnected without a closing handshake.", error: new Error("WebSocket disconnected without a closing handshake.") }));
        this.dispatchEvent(new CloseEvent("close", { code: 1006, reason: "WebSocket disconnected without sending Close frame.", wasClean: false }));
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
      else queueMicrotask(() => peer.#deliver(message));
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
      else queueMicrotask(() => peer.#deliver([2, code ?? null, reason]));
    }
  }

  send(data) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'send' on 'WebSocket'");
    if (this.#gone) throw new TypeError("Can't send() on a WebSocket that was already used in a response.");
    if (!this.#accepted && this.#state !== CONNECTING) {
      throw new TypeError("You must call accept() on this WebSocket before sending messages.");
    }
    if (this.#state === CONNECTING) throw new DOMException("Can't call WebSocket send() before it is open.", "InvalidStateError");
    if (this.#closeSent) throw new TypeError("Can't call WebSocket send() after close().");
    if (this.#closeReceived) return;
    if (core.isAnyArrayBuffer(data)) this.#transmit([1, new Uint8Array(data.slice(0))]);
    else if (ArrayBuffer.isView(data)) this.#transmit([1, new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()]);
    else if (data instanceof Blob) throw new TypeError("WebSocket send() of a Blob is not supported; send its arrayBuffer().");
    else this.#transmit([0, `${data}`.toWellFormed()]);
  }

  close(code = undefined, reason = "") {
    if (this.#gone) throw new TypeError("Can't close() a WebSocket that was already used in a response.");
    if (code !== undefined) {
      code = Number(code);
      if (!Number.isInteger(code) || (code !== 1000 && (code < 1001 || code > 4999)) || [1004, 1005, 1006, 1015].includes(code)) {
        throw new DOMException(`Invalid WebSocket close code: ${code}.`, "InvalidAccessError");
      }
    } else if (reason !== "") {
      throw new DOMException("If you specify a WebSocket close reason, you must also specify a code.", "SyntaxError");
    }
    reason = `${reason}`.toWellFormed();
    if (core.byteLength(reason) > 123) {
      throw new DOMException("WebSocket close reason must be no longer than 123 bytes.", "SyntaxError");
    }
    if (this.#closeSent || this.#state === CLOSED) return;
    this.#state = this.#closeReceived ? CLOSED : CLOSING;
    this.#transmitClose(code, reason);
  }

  serializeAttachment(value) {
    this.#attachment = structuredClone(value);
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

  set binaryType(value) {
    if (value !== "blob" && value !== "arraybuffer") {
      throw new DOMException(`Invalid binaryType "${value}": it must be "blob" or "arraybuffer".`, "SyntaxError");
    }
    this.#binaryType = value;
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
