// Raw connections to a service: `connect` of a binding, or of a worker whose network is another worker.
//
// The service's handler `connect(socket)` is called as a method, with a stream for each direction; its answer says that it has
// begun. What it does afterwards belongs to that event, and both streams break with it.
(function () {
const { core } = __bootstrap;
const { op_log } = core.ops;
const { TransformStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { assertInHandler } = core.loadExtScript("ext:atoll_js/00_context.js");
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");
const { parseAddress, socketOptions, socketOver } = core.loadExtScript("ext:atoll_js/17_sockets.js");
const { onEventEnd } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { callService, HandlerObject } = core.loadExtScript("ext:atoll_js/30_rpc.js");
const { platformError } = core.loadExtScript("ext:atoll_js/30_rpc_target.js");

// As in 22_console.js.
const WARN = 3;

// A connection (see 17_sockets.js) over two streams.
class StreamConnection {
  #reader;
  #writer;

  constructor(readable, writable) {
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    this.#reader.closed.catch(() => {});
    this.#writer.closed.catch(() => {});
  }

  async read() {
    const { done, value } = await this.#reader.read();
    return done ? null : value;
  }

  // Copied: the bytes are the worker's again while they are on their way.
  async write(bytes) {
    await this.#writer.write(new Uint8Array(bytes));
  }

  finish() {
    this.#writer.close().catch(() => {});
  }

  stopReading() {
    this.#reader.cancel().catch(() => {});
  }

  destroy() {
    this.#writer.abort().catch(() => {});
    this.stopReading();
  }
}

async function dialService(handle, target, options) {
  if (options.secureTransport !== "off") {
    throw new TypeError("A connection to a service has no TLS: its bytes stay between the two workers.");
  }
  const up = new TransformStream();
  const down = new TransformStream();
  const call = callService(handle, ["connect"], [{ address: target.shown, input: up.readable, output: down.writable }]);
  await call.result;
  return new StreamConnection(down.readable, up.writable);
}

// A socket to the service behind the native handle.
function connectService(handle, address, options) {
  assertInHandler();
  const target = parseAddress(address);
  const checked = socketOptions(options);
  return socketOver(dialService(handle, target, checked), target, checked);
}

// The other side. `root` is what answers the calls of this event.
function accept(root, { address, input, output }, event) {
  const isObject = root instanceof HandlerObject;
  const owner = isObject ? root.object : root;
  const { connect } = owner;
  if (typeof connect !== "function") {
    op_log(WARN, "A connection came, but this entrypoint has no connect() handler.", currentAccount().id);
    throw platformError("Handler does not export a connect() function.");
  }
  const connection = new StreamConnection(input, output);
  onEventEnd(event, () => connection.destroy());
  const target = { shown: address, opened: { localAddress: address } };
  const socket = socketOver(Promise.resolve(connection), target, socketOptions({ allowHalfOpen: true }));
  const run = async () => isObject ? await connect.call(owner, socket, root.env, root.ctx) : await connect.call(owner, socket);
  event.waitUntil(run());
}

return { accept, connectService };
})();
