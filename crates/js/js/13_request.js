// Request (Fetch Standard, "Request class"), as the Workers platform has it.
//
// A request that came from outside is a thin shell over a native source: headers, `cf` and the signal are made when
// somebody asks for them.
(function () {
const { core, primordials } = __bootstrap;
const { SymbolFor } = primordials;
const { op_event_canceled, op_request_canceled, op_request_cf, op_request_headers } = core.ops;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { AbortSignal, newSignal, signalAbort, createDependentAbortSignal } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { blobFromObjectUrl } = core.loadExtScript("ext:deno_web/09_file.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { TransformStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { Headers, freezeHeaders, headersFromWire, setDefaultHeader } = core.loadExtScript("ext:atoll_js/10_headers.js");
const { Body, extractBody, mixinBody, STREAM } = core.loadExtScript("ext:atoll_js/12_body.js");

const { cacheMode, enabled } = core.loadExtScript("ext:atoll_js/28_compat.js");

const NATIVE = Symbol("native");
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NORMALIZED = { delete: "DELETE", get: "GET", head: "HEAD", options: "OPTIONS", post: "POST", put: "PUT", patch: "PATCH" };
// A URL that already is as the URL Standard would serialize it. Whatever does not match is parsed.
const PLAIN_URL = /^https?:\/\/[a-z0-9.\-]+(?::[0-9]+)?\/[A-Za-z0-9\-._~!$&()*+,;=:@%\/]*(?:\?[A-Za-z0-9\-._~!$&()*+,;=:@%\/?]*)?$/;

function normalizeUrl(url) {
  if (PLAIN_URL.test(url) && !url.includes("/.") && !url.includes("%2") && !url.includes(":80/") && !url.includes(":443/")) {
    return url;
  }
  return new URL(url).href;
}

function parseUrl(input) {
  const text = `${input}`;
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`Invalid URL: ${text}`);
  }
  return url.href;
}

function normalizeMethod(method) {
  method = `${method}`;
  if (!METHOD.test(method)) throw new TypeError(`Invalid HTTP method string: ${method}`);
  const known = NORMALIZED[method.toLowerCase()];
  if (known !== undefined && method.toLowerCase() !== "patch") return known;
  const upper = method.toUpperCase();
  if (upper === "CONNECT" || upper === "TRACE" || upper === "TRACK") {
    throw new TypeError(`HTTP method not allowed: ${method}`);
  }
  return method === upper || !enabled("upper_case_all_http_methods") ? method : upper;
}

const REDIRECTS = ["follow", "manual", "error"];

function checkEnum(value, allowed, name) {
  value = `${value}`;
  if (!allowed.includes(value)) {
    throw new TypeError(`Invalid ${name} value "${value}": it must be one of ${allowed.map((v) => `"${v}"`).join(", ")}`);
  }
  return value;
}

// Empty for a request from another worker that had none.
function parseCf(text) {
  return text === "" ? undefined : JSON.parse(text);
}

// Of a plain request (src/ops/event.rs): a letter for the versions, then the headers' wire form.
const PROTOCOLS = ["HTTP/1.0", "HTTP/1.1", "HTTP/2"];
const TLS_VERSIONS = ["", "TLSv1.2", "TLSv1.3"];

function plainCf(source, headers) {
  const code = source.charCodeAt(0) - 97;
  return {
    clientAcceptEncoding: headers.get("accept-encoding") ?? "",
    edgeRequestKeepAliveStatus: 1,
    httpProtocol: PROTOCOLS[Math.trunc(code / TLS_VERSIONS.length)],
    tlsVersion: TLS_VERSIONS[code % TLS_VERSIONS.length],
  };
}

class Request {
  // Of one from outside: a native source, or the string that a plain one is.
  #source = null;
  // The event's id, of a plain one.
  #event = 0;
  #method = "GET";
  #url = "";
  #urlIsPlain = false;
  #headers = null;
  #body = null;
  #redirect = "follow";
  #signal = null;
  #cf = undefined;
  #cache = undefined;
  // What a blob: URL named when the request was made; null for other URLs and names of nothing.
  #blob = null;

  constructor(input, init = undefined, method = undefined, url = undefined, body = undefined, event = undefined) {
    if (input === NATIVE) {
      this.#source = init;
      this.#event = event;
      this.#method = method;
      this.#url = url;
      this.#body = body;
      // What to do with a redirect is for whoever asked to say.
      this.#redirect = "manual";
      return;
    }
    webidl.requiredArguments(arguments.length, 1, "Failed to construct 'Request'");
    if (init !== undefined && init !== null && typeof init !== "object" && typeof init !== "function") {
      throw new TypeError("Failed to construct 'Request': the init (argument 2) must be an object");
    }
    this.#urlIsPlain = true;
    let inputBody = null;
    let signal = null;
    const from = input !== null && typeof input === "object" && #method in input ? input : null;
    if (from !== null) {
      this.#url = from.url;
      this.#method = from.#method;
      this.#redirect = from.#redirect;
      this.#cf = from.cf;
      this.#cache = from.#cache;
      this.#blob = from.#blob;
      signal = from.signal;
      inputBody = from.#body;
    } else {
      this.#url = parseUrl(input);
      if (this.#url.startsWith("blob:")) this.#blob = blobFromObjectUrl(this.#url.split("#", 1)[0]);
    }
    // Workers: the second argument may itself be a Request.
    const initRequest = init !== null && typeof init === "object" && #method in init ? init : null;
    init ??= {};
    if (init.method !== undefined) this.#method = normalizeMethod(init.method);
    if (init.redirect !== undefined) this.#redirect = checkEnum(init.redirect, REDIRECTS, "redirect");
    if (init.cache !== undefined && init.cache !== null) this.#cache = cacheMode(init.cache);
    // What nobody would check must not look checked.
    if (init.integrity !== undefined && initRequest === null && `${init.integrity}` !== "") {
      throw new TypeError(
        "Subrequest integrity checking is not implemented. The integrity option must be either undefined or an empty string.",
      );
    }
    if (init.cf !== undefined && init.cf !== null) {
      this.#cf = initRequest === null ? structuredClone(init.cf) : init.cf;
    }
    if (init.signal !== undefined) {
      if (init.signal !== null && !(init.signal instanceof AbortSignal)) {
        throw new TypeError("Failed to construct 'Request': the init's signal must be an AbortSignal or null");
      }
      signal = init.signal;
    }
    this.#signal = signal === null ? null : createDependentAbortSignal([signal], "Failed to construct 'Request'");
    this.#headers = new Headers(init.headers ?? (from === null ? undefined : from.headers));
    let initBody = initRequest === null ? init.body : undefined;
    if (initRequest !== null && initRequest.#body !== null) {
      if (initRequest.#body.isUnusable) throw new TypeError("Cannot construct a Request from one whose body has already been used.");
      inputBody = initRequest.#body;
    }
    const hasInitBody = initBody !== undefined && initBody !== null;
    if ((hasInitBody || (inputBody !== null && initBody === undefined)) && (this.#method === "GET" || this.#method === "HEAD")) {
      throw new TypeError("Request with a GET or HEAD method cannot have a body.");
    }
    if (hasInitBody) {
      const { body, contentType } = extractBody(initBody);
      this.#body = body;
      if (contentType !== null) setDefaultHeader(this.#headers, "content-type", contentType);
    } else if (initBody === undefined && inputBody !== null) {
      if (inputBody.isUnusable) throw new TypeError("Cannot construct a Request with a Request object that has already been used.");
      // The input's body moves here; the input counts as used.
      this.#body = new Body(inputBody.kind, inputBody.value, inputBody.length);
      if (inputBody.kind === STREAM) {
        const { readable, writable } = new TransformStream();
        inputBody.value.pipeTo(writable).catch(() => {});
        this.#body = Body.stream(readable);
        this.#body.length = inputBody.length;
      }
      inputBody.used = true;
    }
  }

  get method() {
    return this.#method;
  }

  get url() {
    if (!this.#urlIsPlain) {
      this.#url = normalizeUrl(this.#url);
      this.#urlIsPlain = true;
    }
    return this.#url;
  }

  get headers() {
    if (this.#headers === null) {
      const source = this.#source;
      const raw = typeof source === "string" ? source.slice(1) : () => op_request_headers(source);
      this.#headers = freezeHeaders(headersFromWire(raw));
    }
    return this.#headers;
  }

  get redirect() {
    return this.#redirect;
  }

  get signal() {
    if (this.#signal === null) {
      const signal = newSignal();
      this.#signal = signal;
      if (this.#source !== null && enabled("enable_request_signal")) {
        const canceled = typeof this.#source === "string" ? op_event_canceled(this.#event) : op_request_canceled(this.#source);
        core.unrefOpPromise(canceled);
        canceled.then((wasCanceled) => {
          if (wasCanceled) signal[signalAbort](new DOMException("The client has disconnected", "AbortError"));
        });
      }
    }
    return this.#signal;
  }

  get cf() {
    if (this.#cf === undefined && this.#source !== null) {
      const source = this.#source;
      this.#cf = typeof source === "string" ? plainCf(source, this.headers) : parseCf(op_request_cf(source));
    }
    return this.#cf;
  }

  get cache() {
    return this.#cache;
  }

  get integrity() {
    return "";
  }

  get keepalive() {
    return false;
  }

  get fetcher() {
    return null;
  }

  clone() {
    if (this.#body !== null && this.#body.isUnusable) {
      throw new TypeError("Cannot clone a Request whose body has already been used.");
    }
    const copy = new Request(NATIVE, this.#source, this.#method, this.#url, this.#body === null ? null : this.#body.clone(), this.#event);
    copy.#urlIsPlain = this.#urlIsPlain;
    copy.#headers = this.#source !== null && this.#headers === null ? null : new Headers(this.headers);
    copy.#redirect = this.#redirect;
    copy.#cf = this.#cf;
    copy.#cache = this.#cache;
    copy.#blob = this.#blob;
    copy.#signal = this.#signal === null ? null : createDependentAbortSignal([this.#signal], "Failed to execute 'clone' on 'Request'");
    return copy;
  }

  [SymbolFor("Deno.privateCustomInspect")](inspect, options) {
    return `Request ${inspect({
      method: this.method,
      url: this.url,
      headers: this.headers,
      redirect: this.redirect,
      bodyUsed: this.bodyUsed,
    }, options)}`;
  }

  static bodyOf(request) {
    return request.#body;
  }

  static blobOf(request) {
    return request.#blob;
  }

  static is(value) {
    return value !== null && typeof value === "object" && #method in value;
  }

  static signalOf(request) {
    return request.#signal;
  }
}

const { blobOf, bodyOf, is, signalOf } = Request;
delete Request.blobOf;
delete Request.bodyOf;
delete Request.is;
delete Request.signalOf;

mixinBody(Request.prototype, bodyOf, (request) => request.headers.get("content-type"));
webidl.configureInterface(Request);

// source: a native source or a plain request's string; body: null or a Body; event: the event's id.
function requestFromNative(source, method, url, body, event) {
  return new Request(NATIVE, source, method, url, body, event);
}

return { isRequest: is, Request, requestBlob: blobOf, requestBody: bodyOf, requestFromNative, requestSignal: signalOf };
})();
