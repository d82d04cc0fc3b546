// The Cache API: caches.default and caches.open(name). What may be stored, what is fresh and what answers a conditional or
// a range request is decided outside; here are argument forms and the platform's refusals.
(function () {
const { core } = __bootstrap;
const { op_body_open, op_cache_delete, op_cache_match, op_cache_put } = core.ops;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");
const { assertInHandler } = core.loadExtScript("ext:atoll_js/00_context.js");
const { headersToWire } = core.loadExtScript("ext:atoll_js/10_headers.js");
const { Body, BYTES, NATIVE, TEXT, USED } = core.loadExtScript("ext:atoll_js/12_body.js");
const { isRequest, Request } = core.loadExtScript("ext:atoll_js/13_request.js");
const { isResponse, responseFromNative, responseParts } = core.loadExtScript("ext:atoll_js/14_response.js");
const { pump } = core.loadExtScript("ext:atoll_js/15_fetch.js");

const ILLEGAL = Symbol("illegal constructor");
// worker/src/cache.rs has the same number.
const NAME_BYTES_MAX = 1024;

function toRequest(input, method) {
  assertInHandler();
  if (isRequest(input)) return input;
  if (input === undefined) {
    throw new TypeError(`Failed to execute '${method}' on 'Cache': parameter 1 is not of type 'Request or string'.`);
  }
  return new Request(input);
}

// The platform lets a request choose its key itself.
function keyOf(request) {
  const key = request.cf?.cacheKey;
  if (key !== undefined && key !== null && key !== "") return `${key}`.toWellFormed();
  const hash = request.url.indexOf("#");
  return hash < 0 ? request.url : request.url.slice(0, hash);
}

function isHttp(request) {
  return /^https?:/.test(request.url);
}

function isAsked(request, options, method) {
  if (options !== undefined && options !== null && typeof options !== "object" && typeof options !== "function") {
    throw new TypeError(`Failed to execute '${method}' on 'Cache': parameter 2 is not of type 'CacheQueryOptions'.`);
  }
  return request.method === "GET" || Boolean(options?.ignoreMethod);
}

function checkStorable(request, { status, headers, webSocket }) {
  if (request.method !== "GET") throw new TypeError("Cannot cache response to non-GET request.");
  if (status === 206) throw new TypeError("Cannot cache response to a range request (206 Partial Content).");
  if (headers?.get("vary")?.includes("*")) throw new TypeError("Cannot cache response with 'Vary: *' header.");
  if (webSocket !== null) throw new TypeError("Cannot cache WebSocket upgrade response.");
}

// What the operation takes of a body: bytes, a native source, and the pump that fills it. The body counts as used at once.
function bodyToSend(body) {
  if (body === null) return { bytes: null, source: null, sent: null };
  if (body.isUnusable) throw new TypeError(USED);
  const { kind, value } = body;
  body.used = true;
  if (kind === TEXT) return { bytes: core.encode(value), source: null, sent: null };
  if (kind === BYTES) return { bytes: value, source: null, sent: null };
  if (kind === NATIVE) return { bytes: null, source: value, sent: null };
  const pair = op_body_open(body.length ?? -1);
  return { bytes: null, source: pair[1], sent: pump(value, pair[0]) };
}

class Cache {
  // null: the default cache.
  #name;
  [webidl.brand] = webidl.brand;

  constructor(key, name) {
    if (key !== ILLEGAL) throw new TypeError("Illegal constructor");
    this.#name = name;
  }

  async match(request, options = undefined) {
    webidl.assertBranded(this, CachePrototype);
    request = toRequest(request, "match");
    if (!isAsked(request, options, "match")) return undefined;
    if (!isHttp(request)) throw new TypeError(`Fetch API cannot load: ${request.url}`);
    currentAccount().chargeSubrequest();
    const reply = await op_cache_match(this.#name, keyOf(request), headersToWire(request.headers));
    if (reply === null) return undefined;
    const [status, statusText, headers, , , source, , manualEncoding] = reply;
    return responseFromNative({
      status,
      statusText,
      headers,
      url: "",
      redirected: false,
      body: source === null ? null : Body.native(source),
      webSocket: null,
      manualEncoding,
    });
  }

  async put(request, response) {
    webidl.assertBranded(this, CachePrototype);
    if (!isResponse(response)) {
      throw new TypeError("Failed to execute 'put' on 'Cache': parameter 2 is not of type 'Response'.");
    }
    request = toRequest(request, "put");
    const parts = responseParts(response);
    if (parts.status === 0) throw new TypeError("Cache is unable to store an error response");
    checkStorable(request, parts);
    // What answers a conditional request is no answer to others: ignored, as it always was.
    if (parts.status === 304) return;
    const { headers, contentType } = parts;
    const wire = headers !== null ? headersToWire(headers) : contentType !== null ? `content-type\0${contentType}` : "";
    const { bytes, source, sent } = bodyToSend(parts.body);
    currentAccount().chargeSubrequest();
    const stored = op_cache_put(
      this.#name,
      keyOf(request),
      headersToWire(request.headers),
      parts.status,
      wire,
      parts.manualEncoding,
      bytes,
      source,
    );
    if (sent === null) {
      await stored;
      return;
    }
    // The stream's own error says more than that the body broke off.
    const [pumped, put] = await Promise.allSettled([sent, stored]);
    if (pumped.status === "rejected") throw pumped.reason;
    if (put.status === "rejected") throw put.reason;
  }

  async delete(request, options = undefined) {
    webidl.assertBranded(this, CachePrototype);
    request = toRequest(request, "delete");
    if (!isAsked(request, options, "delete")) return false;
    currentAccount().chargeSubrequest();
    return await op_cache_delete(this.#name, keyOf(request), headersToWire(request.headers));
  }
}

class CacheStorage {
  #default = new Cache(ILLEGAL, null);
  [webidl.brand] = webidl.brand;

  constructor(key) {
    if (key !== ILLEGAL) throw new TypeError("Illegal constructor");
  }

  get default() {
    return this.#default;
  }

  async open(cacheName) {
    if (cacheName === undefined) {
      throw new TypeError("Failed to execute 'open' on 'CacheStorage': parameter 1 is not of type 'string'.");
    }
    const name = `${cacheName}`.toWellFormed();
    if (core.encode(name).byteLength >= NAME_BYTES_MAX) throw new TypeError("Cache name is too long.");
    return new Cache(ILLEGAL, name);
  }
}

function unimplemented(target, names) {
  for (const name of names) {
    const method = {
      [name]() {
        throw new Error(`Failed to execute '${name}' on '${target.name}': the method is not implemented.`);
      },
    }[name];
    Object.defineProperty(target.prototype, name, { value: method, writable: true, enumerable: true, configurable: true });
  }
}
unimplemented(Cache, ["add", "addAll", "keys", "matchAll"]);
unimplemented(CacheStorage, ["delete", "has", "keys", "match"]);

webidl.configureInterface(Cache);
const CachePrototype = Cache.prototype;
webidl.configureInterface(CacheStorage);

return { Cache, caches: new CacheStorage(ILLEGAL), CacheStorage };
})();
