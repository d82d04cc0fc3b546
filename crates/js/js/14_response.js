// Response (Fetch Standard, "Response class"), with the platform's webSocket, encodeBody and cf.
(function () {
const { core, primordials } = __bootstrap;
const { SymbolFor } = primordials;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { Headers, freezeHeaders, headersFromWire, setDefaultHeader } = core.loadExtScript("ext:atoll_js/10_headers.js");
const { Body, extractBody, mixinBody } = core.loadExtScript("ext:atoll_js/12_body.js");
const { boundText } = core.loadExtScript("ext:atoll_js/03_account.js");
const { isWebSocket } = core.loadExtScript("ext:atoll_js/20_websocket.js");

const NATIVE = Symbol("native");
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/;
function isNullBodyStatus(status) {
  return status === 101 || status === 204 || status === 205 || status === 304;
}

class Response {
  #status = 200;
  #statusText = "";
  // null while it is just the content type of the body.
  #headers = null;
  #contentType = null;
  #body = null;
  #url = "";
  #redirected = false;
  #type = "default";
  #webSocket = null;
  #manualEncoding = false;
  #cf = undefined;

  constructor(body = null, init = undefined) {
    if (body === NATIVE) return;
    if (init !== undefined && init !== null) this.#init(init);
    if (body !== null && body !== undefined) {
      if (isNullBodyStatus(this.#status)) {
        throw new TypeError(`Response with null body status (101, 204, 205, or 304) cannot have a body.`);
      }
      const extracted = extractBody(body);
      this.#body = extracted.body;
      this.#contentType = extracted.contentType;
      if (this.#headers !== null && extracted.contentType !== null) {
        setDefaultHeader(this.#headers, "content-type", extracted.contentType);
      }
    }
  }

  #init(init) {
    if (typeof init !== "object" && typeof init !== "function") {
      throw new TypeError("Failed to construct 'Response': the init (argument 2) must be an object");
    }
    const { status, statusText, headers, webSocket, encodeBody, cf } = init;
    if (webSocket !== undefined && webSocket !== null) {
      if (!isWebSocket(webSocket)) {
        throw new TypeError("Incorrect type for the 'webSocket' field on 'InitializerDict': the provided value is not of type 'WebSocket'.");
      }
      this.#webSocket = webSocket;
    }
    if (status !== undefined) {
      const number = Number(status);
      if (number === 101) {
        if (this.#webSocket === null) {
          throw new RangeError("Responses with status code 101 (Switching Protocols) must have a webSocket property in their init.");
        }
      } else if (!Number.isInteger(number) || number < 200 || number > 599) {
        throw new RangeError("Responses may only be constructed with status codes in the range 200 to 599, inclusive.");
      }
      this.#status = number;
    }
    if (this.#webSocket !== null && this.#status !== 101) {
      throw new RangeError("Responses with a WebSocket must have status code 101.");
    }
    if (statusText !== undefined) {
      const text = `${statusText}`;
      if (text !== "" && !REASON.test(text)) throw new TypeError("Invalid statusText: it must be printable Latin-1 text");
      this.#statusText = text;
    } else {
      this.#statusText = "";
    }
    if (headers !== undefined && headers !== null) this.#headers = new Headers(headers);
    if (encodeBody !== undefined) {
      if (encodeBody !== "automatic" && encodeBody !== "manual") {
        throw new TypeError(`encodeBody: unexpected value: ${encodeBody}`);
      }
      this.#manualEncoding = encodeBody === "manual";
    }
    if (cf !== undefined && cf !== null) this.#cf = cf;
  }

  static error() {
    const response = new Response(NATIVE);
    response.#status = 0;
    response.#type = "error";
    response.#headers = freezeHeaders(new Headers());
    return response;
  }

  static redirect(url, status = 302) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'redirect' on 'Response'");
    let location;
    try {
      location = new URL(`${url}`).href;
    } catch {
      throw new TypeError(`Unable to parse URL: ${url}`);
    }
    status = Number(status);
    if (![301, 302, 303, 307, 308].includes(status)) {
      throw new RangeError(`Invalid status code: ${status}: a redirect has 301, 302, 303, 307 or 308`);
    }
    const response = new Response(NATIVE);
    response.#status = status;
    response.#headers = freezeHeaders(new Headers([["location", location]]));
    return response;
  }

  static json(data = undefined, init = undefined) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'json' on 'Response'");
    const text = JSON.stringify(data);
    if (text === undefined) throw new TypeError("Failed to execute 'json' on 'Response': the value has no JSON form");
    boundText(text);
    const response = new Response(NATIVE);
    if (init !== undefined && init !== null) response.#init(init);
    if (isNullBodyStatus(response.#status)) {
      throw new TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.");
    }
    response.#body = Body.text(text.isWellFormed() ? text : text.toWellFormed());
    response.#contentType = "application/json";
    if (response.#headers !== null) setDefaultHeader(response.#headers, "content-type", "application/json");
    return response;
  }

  get type() {
    return this.#type;
  }

  get url() {
    return this.#url;
  }

  get redirected() {
    return this.#redirected;
  }

  get status() {
    return this.#status;
  }

  get ok() {
    return this.#status >= 200 && this.#status <= 299;
  }

  get statusText() {
    // One from the network has the standard phrase where the protocol carried none; one made here has what it was given.
    return this.#statusText === "" && this.#url !== "" ? STATUS_TEXT[this.#status] ?? "" : this.#statusText;
  }

  get headers() {
    if (this.#headers === null) {
      this.#headers = new Headers();
      if (this.#contentType !== null) setDefaultHeader(this.#headers, "content-type", this.#contentType);
    }
    return this.#headers;
  }

  get webSocket() {
    return this.#webSocket;
  }

  get cf() {
    return this.#cf;
  }

  get encodeBody() {
    return this.#manualEncoding ? "manual" : "automatic";
  }

  clone() {
    if (this.#webSocket !== null) throw new TypeError("Cannot clone a response to a WebSocket handshake.");
    if (this.#body !== null && this.#body.isUnusable) {
      throw new TypeError("Cannot clone a Response whose body has already been used.");
    }
    const copy = new Response(NATIVE);
    copy.#status = this.#status;
    copy.#statusText = this.#statusText;
    copy.#headers = this.#headers === null ? null : new Headers(this.#headers);
    copy.#contentType = this.#contentType;
    copy.#body = this.#body === null ? null : this.#body.clone();
    copy.#url = this.#url;
    copy.#redirected = this.#redirected;
    copy.#type = this.#type;
    copy.#manualEncoding = this.#manualEncoding;
    copy.#cf = this.#cf;
    return copy;
  }

  [SymbolFor("Deno.privateCustomInspect")](inspect, options) {
    return `Response ${inspect({
      status: this.status,
      statusText: this.statusText,
      headers: this.headers,
      ok: this.ok,
      bodyUsed: this.bodyUsed,
      url: this.url,
      redirected: this.redirected,
      type: this.type,
    }, options)}`;
  }

  static is(value) {
    return value !== null && typeof value === "object" && #status in value;
  }

  static bodyOf(response) {
    return response.#body;
  }

  // What leaves: the headers, or just the content type where nobody touched them.
  static parts(response) {
    return {
      status: response.#status,
      statusText: response.#statusText,
      headers: response.#headers,
      contentType: response.#contentType,
      body: response.#body,
      webSocket: response.#webSocket,
      manualEncoding: response.#manualEncoding,
    };
  }

  static fromNative({ status, statusText, headers, url, redirected, body, webSocket, manualEncoding = false }) {
    const response = new Response(NATIVE);
    response.#status = status;
    response.#statusText = statusText;
    response.#headers = freezeHeaders(headersFromWire(headers));
    response.#url = url;
    response.#redirected = redirected;
    response.#body = body;
    response.#webSocket = webSocket;
    response.#manualEncoding = manualEncoding;
    return response;
  }
}

const { is, bodyOf, parts, fromNative } = Response;
for (const name of ["is", "bodyOf", "parts", "fromNative"]) delete Response[name];

mixinBody(Response.prototype, bodyOf, (response) => response.headers.get("content-type"));
webidl.configureInterface(Response);

return { isResponse: is, Response, responseFromNative: fromNative, responseParts: parts };
})();
