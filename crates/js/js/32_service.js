// Services: the bindings by which workers call each other, and ctx.exports, by which a worker calls itself.
//
// A service has fetch, and any other name is a method of the entrypoint at the other end, called by RPC (30_rpc.js). One
// that is itself callable (ctx.exports.Name) gives a service with props.
(function () {
const { core } = __bootstrap;
const {
  op_body_open,
  op_fetch_cancel,
  op_fetch_token,
  op_service_binding,
  op_service_fetch,
  op_service_own,
} = core.ops;
const { add, remove } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { assertInHandler, currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");
const { headersToWire } = core.loadExtScript("ext:atoll_js/10_headers.js");
const { Body, BYTES, NATIVE, TEXT, USED } = core.loadExtScript("ext:atoll_js/12_body.js");
const { isRequest, Request, requestBody, requestSignal } = core.loadExtScript("ext:atoll_js/13_request.js");
const { responseFromNative } = core.loadExtScript("ext:atoll_js/14_response.js");
const { fetchData, pump } = core.loadExtScript("ext:atoll_js/15_fetch.js");
const { webSocketFromNative } = core.loadExtScript("ext:atoll_js/20_websocket.js");
const { eventDepth } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { remoteError, serviceProperty, setAcceptor, waitsFor } = core.loadExtScript("ext:atoll_js/30_rpc.js");
const { later } = core.loadExtScript("ext:atoll_js/02_later.js");
const { setServices } = core.loadExtScript("ext:atoll_js/31_rpc_value.js");

const REDIRECTS_MAX = 20;

function connections() {
  return later("ext:atoll_js/32_service_connect.js");
}

setAcceptor((...of) => connections().accept(...of));

// The bodies an op takes: [bytes, source].
function bodyForOp(body) {
  if (body === null) return [null, null];
  if (body.isUnusable) throw new TypeError(USED);
  const { kind, value } = body;
  body.used = true;
  if (kind === TEXT) return [core.encode(value), null];
  if (kind === BYTES) return [value, null];
  if (kind === NATIVE) return [null, value];
  const [sender, source] = op_body_open(body.length ?? -1);
  // Its failure reaches the other side as a body that broke off.
  pump(value, sender).catch(() => {});
  return [null, source];
}

async function serviceFetch(handle, input, init) {
  assertInHandler();
  const event = currentEvent();
  const depth = eventDepth(event) + 1;
  const request = init === undefined && isRequest(input) ? input : new Request(input, init);
  const signal = requestSignal(request) ?? (init?.signal ?? null);
  signal?.throwIfAborted();
  if (request.url.startsWith("data:")) return fetchData(request, new URL(request.url));
  const account = currentAccount();
  account.chargeSubrequest();
  const cf = request.cf === undefined || request.cf === null ? null : JSON.stringify(request.cf) ?? null;
  let { method } = request;
  let url = request.url;
  const headers = headersToWire(request.headers);
  let [bytes, source] = bodyForOp(requestBody(request));
  const streamed = source !== null;
  const token = op_fetch_token();
  const abort = () => op_fetch_cancel(token);
  signal?.[add](abort);
  try {
    for (let redirects = 0;; redirects++) {
      if (redirects !== 0) account.chargeSubrequest();
      const answer = op_service_fetch(handle, depth, redirects === 0 ? token : op_fetch_token(), `${method} ${url}`, headers, bytes, source, cf);
      // The count of calls says whether it is worth waiting for: the service may be in this isolate.
      core.unrefOpPromise(answer);
      waitsFor(event, 1);
      let reply;
      try {
        reply = await answer;
      } finally {
        waitsFor(event, -1);
      }
      if (reply.length === 3) throw remoteError(...reply);
      const [status, statusText, wire, , , bodySource, socket] = reply;
      const response = responseFromNative({
        status,
        statusText,
        headers: wire,
        url,
        redirected: redirects !== 0,
        body: bodySource === null ? null : Body.native(bodySource),
        webSocket: socket === null ? null : webSocketFromNative(socket),
      });
      const location = [301, 302, 303, 307, 308].includes(status) ? response.headers.get("location") : null;
      if (location === null || request.redirect === "manual") {
        if (signal !== null) {
          signal[add](() => {
            const { body } = response;
            if (body !== null && !body.locked) body.cancel(signal.reason).catch(() => {});
          });
        }
        return response;
      }
      if (request.redirect === "error") throw new TypeError("Unexpected redirect");
      if (redirects === REDIRECTS_MAX) throw new TypeError("Too many redirects.");
      if (status === 303 ? method !== "GET" && method !== "HEAD" : status <= 302 && method === "POST") {
        method = "GET";
        bytes = null;
        source = null;
      } else if (streamed) {
        throw new TypeError("A request with a one-time-use body (it was initialized from a stream, not a buffer) encountered a redirect requiring the body to be retransmitted. To avoid this error in the future, construct this request from a buffer-like body initializer.");
      }
      url = new URL(location, url).href;
    }
  } catch (error) {
    if (signal !== null && signal.aborted) throw signal.reason;
    throw error;
  } finally {
    signal?.[remove](abort);
  }
}

// The services that worker code holds: proxy -> native handle.
const handles = new WeakMap();

function handleOf(service) {
  const handle = handles.get(service);
  if (handle === undefined) {
    throw new TypeError(
      "Illegal invocation: function called with incorrect `this` reference. See " +
        "https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.",
    );
  }
  return handle;
}

class Fetcher {
  constructor() {
    throw new TypeError("Illegal constructor");
  }

  fetch(input, init = undefined) {
    const handle = handleOf(this);
    if (arguments.length === 0) {
      return Promise.reject(new TypeError("Failed to execute 'fetch' on 'Fetcher': parameter 1 is not of type 'Request or string'."));
    }
    return serviceFetch(handle, input, init);
  }

  connect(address, options = undefined) {
    return connections().connectService(handleOf(this), address, options);
  }

  get [Symbol.toStringTag]() {
    return "Fetcher";
  }
}

for (const key of ["fetch", "connect", Symbol.toStringTag]) Object.defineProperty(Fetcher.prototype, key, { enumerable: false });

const handler = {
  get(target, key, receiver) {
    if (typeof key === "symbol" || key in Fetcher.prototype) return Reflect.get(target, key, receiver);
    if (key === "then" || key === "toJSON") return undefined;
    return serviceProperty(targets.get(target), key);
  },
  has(_target, key) {
    return typeof key === "string" || key in Fetcher.prototype;
  },
  set() {
    return false;
  },
  defineProperty() {
    return false;
  },
  setPrototypeOf() {
    return false;
  },
};

const targets = new WeakMap();

const expose = (function expose(target, handle, traps) {
  Object.setPrototypeOf(target, Fetcher.prototype);
  const proxy = new Proxy(target, traps);
  targets.set(target, handle);
  handles.set(proxy, handle);
  return proxy;
});

// A service from its native handle.
function makeService(handle) {
  return expose({}, handle, handler);
}

// Entrypoints of dynamic workers, which stay with the worker that loaded them.
const dynamic = new WeakSet();

function makeDynamic(handle) {
  const service = makeService(handle);
  dynamic.add(service);
  return service;
}

const loopbacks = new WeakSet();

function serviceBinding(index) {
  return makeService(op_service_binding(index));
}

// One of the worker's own entrypoints: a service, and a function that gives one with props.
const makeLoopback = (function makeLoopback(name) {
  const target = () => {};
  delete target.length;
  delete target.name;
  const loopback = expose(target, op_service_own(name, null), {
    ...handler,
    apply(_target, _self, [options]) {
      if (options !== undefined && (options === null || typeof options !== "object")) {
        throw new TypeError("The options of an entrypoint of ctx.exports must be an object.");
      }
      return makeService(op_service_own(name, encodeProps(options?.props)));
    },
  });
  loopbacks.add(loopback);
  return loopback;
});

// Props as a structured clone, or null.
function encodeProps(props) {
  if (props === undefined) return null;
  if (props === null || typeof props !== "object") throw new TypeError("The props of an entrypoint must be an object.");
  return core.serialize(props, { forStorage: true }, (message) => {
    throw new DOMException(message, "DataCloneError");
  });
}

// What the host sends: JSON text, a clone's bytes, or null.
function decodeProps(props) {
  if (props === null) return {};
  return typeof props === "string" ? JSON.parse(props) : core.deserialize(props, { forStorage: true });
}

function serviceHandle(value) {
  return handles.get(value) ?? null;
}

setServices({ isDynamic: (value) => dynamic.has(value), isLoopback: (value) => loopbacks.has(value), makeService, serviceHandle });

return {
  decodeProps, encodeProps, Fetcher, makeDynamic, makeLoopback, makeService, serviceBinding, serviceFetch, serviceHandle,
};
})();
