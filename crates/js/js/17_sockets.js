// Raw TCP and TLS connections. `dial` is the plain one, for scripts of this engine that build their own sockets on it
// (node:net, node:tls); `connect` is the platform's "cloudflare:sockets".
//
//   const connection = await dial({ host, port, tls: "off" | "on" | "starttls", serverName });
//   connection.remoteAddress, .remotePort, .localAddress, .localPort, .alpn
//   await connection.read()          Uint8Array, or null at the other side's end (FIN)
//   await connection.write(bytes)    copied; resolves once there is room for more
//   connection.finish()              closes the write side after what was written; reading goes on
//   connection.stopReading()         what still arrives is thrown away; with finish() this closes in good order
//   connection.destroy()             breaks off both sides at once; happens by itself when the event that dialled is over:
//                                    answered to the last byte, and waitUntil's promises settled
//   await connection.startTls(name)  a new connection over this one ("starttls" only), which must not be used any more
//
// `dial` and `startTls` reject with an Error whose `code` is Node.js's (ECONNREFUSED, ENOTFOUND, ETIMEDOUT, EACCES for
// what a rule forbids, EPROTO for TLS); `read` and `write` with "Network connection lost." and code ECONNRESET. Calls of
// `read` must not overlap, nor calls of `write`.
(function () {
const { core } = __bootstrap;
const {
  op_body_abandon,
  op_body_cancel,
  op_body_finish,
  op_body_read,
  op_body_ready,
  op_body_write,
  op_name_resolve,
  op_socket_connect,
  op_socket_start_tls,
} = core.ops;
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { ReadableStream, WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { assertInHandler, assertSameEvent, currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");
const { assertOutbound, outboundConnect, outboundService } = core.loadExtScript("ext:atoll_js/09_outbound.js");
const { onEventEnd } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { toBytes } = core.loadExtScript("ext:atoll_js/16_streams.js");

const TRANSPORTS = { off: 0, on: 1, starttls: 2 };

function coded(message, code) {
  const error = new Error(message);
  error.code = code;
  return error;
}

function lost() {
  return coded("Network connection lost.", "ECONNRESET");
}

class Connection {
  #source;
  #sender;
  #startTls;

  constructor([source, sender, remoteAddress, remotePort, localAddress, localPort, alpn, startTls]) {
    // Closed with the event that opened it.
    const event = currentEvent();
    if (event !== null) onEventEnd(event, () => this.destroy());
    this.#source = source;
    this.#sender = sender;
    this.#startTls = startTls;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.localAddress = localAddress;
    this.localPort = localPort;
    this.alpn = alpn;
  }

  async read() {
    try {
      return await op_body_read(this.#source);
    } catch {
      throw lost();
    }
  }

  async write(bytes) {
    if (!op_body_write(this.#sender, bytes) && !(await op_body_ready(this.#sender))) throw lost();
  }

  finish() {
    op_body_finish(this.#sender);
  }

  stopReading() {
    op_body_cancel(this.#source);
  }

  destroy() {
    op_body_abandon(this.#sender);
    op_body_cancel(this.#source);
  }

  async startTls(serverName = "") {
    if (this.#startTls === null) throw coded("this connection was not made for startTls", "EINVAL");
    const upgraded = op_socket_start_tls(this.#startTls, serverName);
    op_body_finish(this.#sender);
    return connected(await upgraded);
  }
}

function connected(outcome) {
  if (outcome.length === 2) throw coded(outcome[1], outcome[0]);
  return new Connection(outcome);
}

async function dial({ host, port, tls = "off", serverName = "" }) {
  assertInHandler();
  assertOutbound();
  const account = currentAccount();
  account.chargeSubrequest();
  const place = account.takeConnection();
  try {
    if (place !== null) await place;
    return connected(await op_socket_connect(host, port, TRANSPORTS[tls], serverName));
  } finally {
    account.releaseConnection();
  }
}

// ---- names

// In the order of the op's list.
const NAME_KINDS = ["LOOKUP", "A", "AAAA", "CAA", "CNAME", "MX", "NAPTR", "NS", "PTR", "SOA", "SRV", "TXT"];
const NAME_CODES = {
  __proto__: null,
  BadName: "EBADNAME",
  BadResponse: "EBADRESP",
  Malformed: "EFORMERR",
  NoData: "ENODATA",
  NotFound: "ENOTFOUND",
  NotImplemented: "ENOTIMP",
  Refused: "EREFUSED",
  ServerFailed: "ESERVFAIL",
  TimedOut: "ETIMEOUT",
  Unreachable: "ECONNREFUSED",
};
const { parse } = JSON;

// The records of `name`, never none, each { ttl, data } where data is an object with one property: Address, Name, Texts or
// the kind of record (crates/worker/src/names.rs). Rejects with an Error whose code is Node.js's.
async function askName(kind, name) {
  assertInHandler();
  assertOutbound();
  // Who has another worker for its network asks no name servers behind its back.
  if (outboundService() !== null) throw coded(`${name}: this worker has no network of its own`, "EREFUSED");
  currentAccount().chargeSubrequest();
  const { Ok: records, Err: failure } = parse(await op_name_resolve(NAME_KINDS.indexOf(kind), name));
  if (failure !== undefined) throw coded(failure.message, NAME_CODES[failure.kind]);
  return records;
}

// ---- cloudflare:sockets

const HTTP_HINT = ". It looks like you might be trying to connect to a HTTP-based service \u2014 consider using fetch instead";
const HOST_BYTES_MAX = 255;
const INTERNAL = Symbol("internal");

function integer(value, max, kind) {
  const number = Number(value);
  if (!Number.isFinite(number)) throw new TypeError("The value cannot be converted because it is not an integer.");
  const whole = Math.trunc(number);
  if (whole < 0) {
    throw new TypeError(`The value cannot be converted because it is negative and this API expects a positive ${kind}.`);
  }
  if (whole > max) throw new TypeError(`Value out of range. Must be less than or equal to ${max}.`);
  return whole;
}

// { host, port, shown }: `shown` is what `opened` calls the remote address.
function parseAddress(address) {
  if (address === undefined || address === null) {
    throw new TypeError("connect() needs an address: a string \"host:port\" or an object with hostname and port.");
  }
  if (typeof address === "object") {
    const host = `${address.hostname}`;
    const port = integer(address.port, 65535, "number");
    checkHost(host);
    return { host: bare(host), port, shown: `${host}:${port}` };
  }
  const shown = `${address}`;
  let url;
  try {
    url = new URL(`fake://${shown}`);
  } catch {
    throw new TypeError(shown === "" ? "Specified address is missing hostname." : "Specified address could not be parsed.");
  }
  if (url.hostname === "") throw new TypeError("Specified address is missing hostname.");
  if (url.port === "") throw new TypeError("Specified address is missing port.");
  checkHost(shown);
  return { host: bare(url.hostname), port: Number(url.port), shown };
}

function checkHost(text) {
  if (text === "" || text.length > HOST_BYTES_MAX || !/^[-.:_a-zA-Z0-9[\]]+$/.test(text)) {
    throw new TypeError("Specified address is empty string, contains unsupported characters or is too long.");
  }
}

function bare(host) {
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}

function socketOptions(options) {
  if (options === undefined) return { secureTransport: "off", allowHalfOpen: false, highWaterMark: undefined };
  if (options === null || (typeof options !== "object" && typeof options !== "function")) {
    throw new TypeError("Failed to execute 'connect' on 'SocketsModule': parameter 2 is not of type 'SocketOptions'.");
  }
  const { secureTransport = "off", allowHalfOpen = false, highWaterMark } = options;
  if (!Object.hasOwn(TRANSPORTS, `${secureTransport}`)) {
    throw new TypeError(`Unsupported value in secureTransport socket option: ${secureTransport}`);
  }
  return {
    secureTransport: `${secureTransport}`,
    allowHalfOpen: Boolean(allowHalfOpen),
    highWaterMark: highWaterMark === undefined ? undefined : integer(highWaterMark, Number.MAX_SAFE_INTEGER, "bigint"),
  };
}

// Closes in good order: what was written is still sent.
function end(connection) {
  connection.finish();
  connection.stopReading();
}

function handled(promise) {
  promise.catch(() => {});
  return promise;
}

class Socket {
  #address;
  #options;
  // The Connection, once it is there.
  #connection = null;
  #connecting;
  #opened;
  #closed = Promise.withResolvers();
  #readable;
  #writable;
  #readController;
  #writeController;
  #readEnded = false;
  #writeEnded = false;
  // No longer usable: closed, failed, or replaced by the socket that startTls gave.
  #over = false;
  #upgraded = false;
  #secureTransport;
  // The event that connected: another one's handler must not use the streams.
  #event = currentEvent();

  constructor(key, address, options, connecting) {
    if (key !== INTERNAL) throw new TypeError("Illegal constructor");
    this.#address = address;
    this.#options = options;
    this.#secureTransport = options.secureTransport;
    handled(this.#closed.promise);
    this.#connecting = handled(connecting.then(
      (connection) => {
        this.#connection = connection;
        if (this.#over && !this.#upgraded) end(connection);
        return connection;
      },
      (error) => {
        const { port } = address;
        let message = "proxy request failed, cannot connect to the specified address";
        if (port === 80 || port === 443) message += HTTP_HINT;
        const failure = new Error(message, { cause: error });
        this.#fail(failure);
        throw failure;
      },
    ));
    this.#opened = handled(this.#connecting.then(() => address.opened ?? { remoteAddress: address.shown }));
    const socket = this;
    this.#readable = new ReadableStream({
      type: "bytes",
      start(controller) {
        socket.#readController = controller;
      },
      pull: (controller) => this.#pull(controller),
      cancel: () => this.#endReading(true),
    }, { highWaterMark: 0 });
    this.#writable = new WritableStream({
      start(controller) {
        socket.#writeController = controller;
      },
      write: (chunk) => this.#write(toBytes(chunk)),
      close: () => this.#endWriting(),
      abort: () => this.#destroy(),
    }, options.highWaterMark === undefined
      ? undefined
      : { highWaterMark: options.highWaterMark, size: (chunk) => chunk?.byteLength ?? `${chunk}`.length });
  }

  async #pull(controller) {
    assertSameEvent(this.#event, "Socket");
    const connection = this.#connection ?? await this.#connecting;
    let chunk;
    try {
      chunk = await connection.read();
    } catch (error) {
      if (!this.#over) this.#fail(error);
      return;
    }
    if (this.#over) return;
    if (chunk !== null) {
      const view = controller.byobRequest?.view;
      if (view != null && view.byteLength >= chunk.byteLength) {
        new Uint8Array(view.buffer, view.byteOffset, chunk.byteLength).set(chunk);
        controller.byobRequest.respond(chunk.byteLength);
      } else {
        controller.enqueue(chunk);
      }
      return;
    }
    controller.close();
    controller.byobRequest?.respond(0);
    this.#endReading(false);
  }

  async #write(bytes) {
    assertSameEvent(this.#event, "Socket");
    const connection = this.#connection ?? await this.#connecting;
    try {
      await connection.write(bytes);
    } catch (error) {
      if (!this.#over) this.#fail(error);
      throw error;
    }
  }

  #endReading(canceled) {
    this.#readEnded = true;
    if (canceled) this.#connection?.stopReading();
    if (!this.#options.allowHalfOpen && !this.#writeEnded) {
      this.#writeEnded = true;
      this.#connection?.finish();
      this.#writeController.error(new TypeError("This WritableStream has been closed."));
    }
    this.#settle();
  }

  async #endWriting() {
    const connection = this.#connection ?? await this.#connecting;
    this.#writeEnded = true;
    connection.finish();
    this.#settle();
  }

  #settle() {
    if (this.#readEnded && this.#writeEnded) {
      this.#over = true;
      this.#closed.resolve();
    }
  }

  #destroy() {
    this.#connection?.destroy();
    if (!this.#over) this.#fail(new TypeError("This socket has been aborted."));
  }

  #fail(error) {
    this.#over = true;
    this.#readController.error(error);
    this.#writeController.error(error);
    this.#connection?.destroy();
    this.#closed.reject(error);
  }

  // Ends both streams without closing the connection.
  #retire(error) {
    this.#over = true;
    if (!this.#readEnded) this.#readController.error(error);
    if (!this.#writeEnded) this.#writeController.error(error);
    this.#closed.resolve();
  }

  get readable() {
    return this.#readable;
  }

  get writable() {
    return this.#writable;
  }

  get closed() {
    return this.#closed.promise;
  }

  get opened() {
    return this.#opened;
  }

  get upgraded() {
    return this.#upgraded;
  }

  get secureTransport() {
    return this.#secureTransport;
  }

  // What was written before is still sent.
  close() {
    if (!this.#over) {
      this.#retire(new TypeError("This socket has been closed."));
      if (this.#connection !== null) end(this.#connection);
    }
    return this.#closed.promise;
  }

  startTls(options = undefined) {
    if (this.#secureTransport === "on") throw new TypeError("Cannot startTls on a TLS socket.");
    if (this.#secureTransport !== "starttls") {
      throw new TypeError("The `secureTransport` socket option must be set to 'starttls' for startTls to be used.");
    }
    if (this.#over) throw new TypeError("The connection was closed before startTls could be started.");
    const name = options?.expectedServerHostname;
    const before = this.#connecting;
    this.#upgraded = true;
    this.#retire(new TypeError("This socket has been upgraded to TLS: use the streams of the socket that startTls() gave."));
    const connecting = before.then((connection) => connection.startTls(name === undefined ? "" : `${name}`));
    return new Socket(INTERNAL, this.#address, { ...this.#options, secureTransport: "on" }, connecting);
  }
}
webidl.configureInterface(Socket);

function connect(address, options = undefined) {
  assertInHandler();
  assertOutbound();
  const service = outboundConnect();
  if (service !== null) return service(address, options);
  const target = parseAddress(address);
  const checked = socketOptions(options);
  const connecting = dial({ host: target.host, port: target.port, tls: checked.secureTransport });
  return new Socket(INTERNAL, target, checked, connecting);
}
Object.defineProperty(connect, "length", { value: 2, configurable: true });

// A socket over something that is no network connection. `target`: an address, with `opened` if that promise gives something
// else; `connecting`: of an object with the methods of a Connection.
function socketOver(connecting, target, options) {
  return new Socket(INTERNAL, target, options, connecting);
}

return { askName, connect, dial, parseAddress, socketOptions, socketOver };
})();
