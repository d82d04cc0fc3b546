// fetch: the global one goes out through the host's network, a binding's to whatever the binding is.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const {
  op_body_fail,
  op_body_finish,
  op_body_open,
  op_body_ready,
  op_body_write,
  op_body_watch,
  op_fetch,
  op_fetch_cancel,
  op_fetch_token,
} = core.ops;
const { add, remove } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { assertInHandler } = core.loadExtScript("ext:atoll_js/00_context.js");
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");
const { assertOutbound, outboundService } = core.loadExtScript("ext:atoll_js/09_outbound.js");
const { readDataUrl } = core.loadExtScript("ext:atoll_js/15_data_url.js");
const { headersToWire } = core.loadExtScript("ext:atoll_js/10_headers.js");
const { Body, BYTES, NATIVE, TEXT, USED } = core.loadExtScript("ext:atoll_js/12_body.js");
const { isRequest, Request, requestBlob, requestBody, requestSignal } = core.loadExtScript("ext:atoll_js/13_request.js");
const { Response, responseFromNative } = core.loadExtScript("ext:atoll_js/14_response.js");
const { setFetch, webSocketFromNative } = core.loadExtScript("ext:atoll_js/20_websocket.js");

// Copies a stream into a native sender, with its backpressure. Never rejects: what goes wrong ends the sender.
async function pump(stream, sender) {
  let reader;
  try {
    reader = stream.getReader();
    // When nobody reads any more the source is told at once, also while it is silent.
    op_body_watch(sender).then((canceled) => {
      if (canceled) reader.cancel(new Error("The client disconnected before the body was sent.")).catch(() => {});
    });
    while (true) {
      const { value, done } = await reader.read();
      if (done) {
        op_body_finish(sender);
        return;
      }
      let chunk = value;
      if (!ArrayBuffer.isView(chunk)) {
        if (!core.isAnyArrayBuffer(chunk)) {
          const what = typeof chunk === "string" ? "a string (encode it, with TextEncoder or TextEncoderStream)" : typeof chunk;
          throw new TypeError(`A body's stream must give ArrayBuffers or views of them, but a chunk is ${what}.`);
        }
        chunk = new Uint8Array(chunk);
      } else if (!(chunk instanceof Uint8Array)) {
        chunk = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      }
      if (!op_body_write(sender, chunk) && !(await op_body_ready(sender))) {
        await reader.cancel(new Error("The client disconnected before the body was sent."));
        return;
      }
    }
  } catch (error) {
    op_body_fail(sender, `${error}`);
    reader?.cancel(error).catch(() => {});
    throw error;
  }
}

// Node.js's names of what failed on the way, for its http modules: the platform's own errors say it in words alone.
const networkCodes = new WeakMap();

function networkError(code, message) {
  const error = new Error(message);
  networkCodes.set(error, code);
  return error;
}

// Undefined for what is no failure of the network.
function networkCode(error) {
  return networkCodes.get(error);
}

// Fetch Standard, "scheme fetch": blob URLs of this isolate.
function fetchBlob(request, url) {
  const blob = request.method === "GET" ? requestBlob(request) : null;
  if (blob === null) throw new TypeError(`Fetch API cannot load: ${url.href}: it names no blob of this worker`);
  const headers = { "content-length": `${blob.size}` };
  if (blob.type !== "") headers["content-type"] = blob.type;
  const response = new Response(blob, { headers });
  if (blob.type === "") response.headers.delete("content-type");
  return response;
}

// The Fetch Standard's.
const REDIRECTS_MAX = 20;

// How many are followed, or one of the host's numbers for the modes.
function redirectMode(mode, followed) {
  if (mode === "manual") return -1;
  return mode === "error" ? -2 : followed;
}

// A redirect that says where to.
function pointsOn(status, headers) {
  const redirects = status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
  if (!redirects) return false;
  // Names and values in turn.
  const list = headers.split("\0");
  for (let at = 0; at < list.length; at += 2) {
    if (list[at] === "location") return true;
  }
  return false;
}

// Fetch Standard, "scheme fetch": what a data: URL holds is the answer to every method, and no request is made.
function fetchData(request, url) {
  url.hash = "";
  const data = readDataUrl(url.href);
  if (data === null) throw new TypeError(`Fetch API cannot load: ${request.url}`);
  return new Response(request.method === "HEAD" ? null : data.bytes, { statusText: "OK", headers: { "content-type": data.type } });
}

// target: index of a binding, or -1 for the network. followed: it is where a redirect of the binding led to.
async function fetchVia(target, input, init, wasRedirected = false) {
  assertInHandler();
  const request = init === undefined && isRequest(input) ? input : new Request(input, init);
  const signal = requestSignal(request) ?? (init?.signal ?? null);
  signal?.throwIfAborted();
  const url = new URL(request.url);
  if (target < 0 && url.protocol === "blob:") return fetchBlob(request, url);
  if (url.protocol === "data:") return fetchData(request, url);
  if (target < 0) {
    assertOutbound();
    const service = outboundService();
    if (service !== null) return await service(request, signal === null ? undefined : { signal });
  }
  if (target < 0 && url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`Fetch API cannot load: ${request.url}: only http: and https: URLs can be fetched`);
  }
  url.hash = "";
  const account = currentAccount();
  account.chargeSubrequest();
  const body = requestBody(request);
  let bytes = null;
  let source = null;
  let sent = null;
  if (body !== null) {
    if (body.isUnusable) throw new TypeError(USED);
    const { kind, value } = body.spend();
    if (kind === TEXT) bytes = core.encode(value);
    else if (kind === BYTES) bytes = value;
    else if (kind === NATIVE) source = value;
    else {
      const pair = op_body_open(body.length ?? -1);
      source = pair[1];
      sent = pump(value, pair[0]);
      // Its failure reaches the fetch as a body that broke off.
      sent.catch(() => {});
    }
  }
  const followed = account.subrequestsLeft(REDIRECTS_MAX);
  const token = op_fetch_token();
  const abort = () => op_fetch_cancel(token);
  signal?.[add](abort);
  account.onEnd(abort);
  // A place among the event's connections is held until the response begins.
  const place = target < 0 ? account.takeConnection() : undefined;
  try {
    // An aborted fetch keeps its place in the queue and ends as it gets there.
    if (place) await place;
    const reply = await op_fetch(
      token,
      target,
      request.method,
      url.href,
      headersToWire(request.headers),
      redirectMode(request.redirect, followed),
      bytes,
      source,
    );
    if (reply.length === 2) throw networkError(...reply);
    const [status, statusText, headers, finalUrl, redirects, bodySource, socket] = reply;
    // Each redirect was a sub-request. Where the event had no more, the last one is the answer, and one more is asked for.
    for (let count = redirects; count > 0; count--) account.chargeSubrequest();
    if (target < 0 && request.redirect === "follow" && redirects === followed && followed < REDIRECTS_MAX && pointsOn(status, headers)) {
      account.chargeSubrequest();
    }
    const response = responseFromNative({
      status,
      statusText,
      headers,
      url: finalUrl || url.href,
      redirected: redirects !== 0 || wasRedirected,
      body: bodySource === null ? null : Body.native(bodySource),
      webSocket: socket === null ? null : webSocketFromNative(socket),
    });
    if (signal !== null) abortsBody(signal, response, abort);
    return response;
  } catch (error) {
    if (signal !== null && signal.aborted) throw signal.reason;
    throw error;
  } finally {
    if (place !== undefined) account.releaseConnection();
    account.keep(abort);
    signal?.[remove](abort);
  }
}

// After the head, an abort breaks the body off.
function abortsBody(signal, response, cancel) {
  signal[add](() => {
    cancel();
    const body = response.body;
    if (body !== null && !body.locked) body.cancel(signal.reason).catch(() => {});
  });
}

function fetch(input, init = undefined) {
  if (arguments.length === 0) return Promise.reject(new TypeError("Failed to execute 'fetch': 1 argument required, but only 0 present."));
  return fetchVia(-1, input, init);
}

// A binding answers redirects itself; they are followed here, as the request says (one that came from outside says "manual").
async function fetchBinding(target, input, init) {
  let request = init === undefined && isRequest(input) ? input : new Request(input, init);
  for (let redirects = 0;; redirects++) {
    const response = await fetchVia(target, request, undefined, redirects !== 0);
    const { status } = response;
    const location = status === 301 || status === 302 || status === 303 || status === 307 || status === 308
      ? response.headers.get("location")
      : null;
    if (location === null || request.redirect === "manual") return response;
    if (request.redirect === "error") throw new TypeError("Unexpected redirect");
    if (redirects === REDIRECTS_MAX) throw new TypeError("Too many redirects.");
    await response.body?.cancel();
    // Nothing but these is ever sent on.
    const method = request.method === "HEAD" ? "HEAD" : "GET";
    request = new Request(new URL(location, request.url).href, { method, headers: request.headers, signal: requestSignal(request) });
  }
}

// A binding with a fetch method.
class Fetcher {
  #target;

  constructor(target) {
    this.#target = target;
  }

  fetch(input, init = undefined) {
    // A path alone means the same host, as it is often written for assets.
    return fetchBinding(this.#target, input, init);
  }
}

webidl.configureInterface(Fetcher);
setFetch(fetch);

return { fetch, fetchData, Fetcher, networkCode, pump };
})();
