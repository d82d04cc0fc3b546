// Classes that workers find in the global scope and hardly ever make: of events, of what requests and responses have in
// common; and what the platform adds to classes of the web's.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { CloseEvent } = core.loadExtScript("ext:deno_web/02_event.js");
const { PerformanceEntry } = core.loadExtScript("ext:deno_web/15_performance.js");
const { ReadableStreamBYOBReader, ReadableStreamBYOBRequest } = core.loadExtScript("ext:deno_web/06_streams.js");
const { markNotSerializable } = core.loadExtScript("ext:deno_web/13_message_port.js");
const { Headers } = core.loadExtScript("ext:atoll_js/10_headers.js");
const { FormData } = core.loadExtScript("ext:atoll_js/11_formdata.js");
const { Request } = core.loadExtScript("ext:atoll_js/13_request.js");
const { WebSocketPair } = core.loadExtScript("ext:atoll_js/20_websocket.js");
const { Response } = core.loadExtScript("ext:atoll_js/14_response.js");

function illegal(name, Base = undefined) {
  const made = Base === undefined
    ? {
      [name]: class {
        constructor() {
          throw new TypeError("Illegal constructor");
        }
      },
    }[name]
    : {
      [name]: class extends Base {
        constructor() {
          throw new TypeError("Illegal constructor");
        }
      },
    }[name];
  webidl.configureInterface(made);
  return made;
}

// The class of what Request and Response have in common. Each has the methods itself.
const Body = illegal("Body");
Object.setPrototypeOf(Request.prototype, Body.prototype);
Object.setPrototypeOf(Response.prototype, Body.prototype);

// Node's name for what a fetch took. Nothing makes one: how long the network took is not told.
const PerformanceResourceTiming = illegal("PerformanceResourceTiming", PerformanceEntry);

// Of durable objects: what is answered to a message without waking one.
class WebSocketRequestResponsePair {
  #request;
  #response;

  constructor(request, response) {
    for (const place of [1, 2]) {
      if (arguments.length < place) {
        throw new TypeError(
          `Failed to construct 'WebSocketRequestResponsePair': constructor parameter ${place} is not of type 'string'.`,
        );
      }
    }
    this.#request = `${request}`;
    this.#response = `${response}`;
  }

  get request() {
    return this.#request;
  }

  get response() {
    return this.#response;
  }
}
webidl.configureInterface(WebSocketRequestResponsePair);

// Objects of the platform do not become empty ones by structuredClone().
for (const Class of [FormData, Headers, Request, Response]) markNotSerializable(Class.prototype);

for (const Class of [CloseEvent, WebSocketPair]) {
  Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: Class.name, configurable: true });
}

// Workers: at least so many bytes, or what there is up to the end.
async function readAtLeast(minElements, view) {
  if (arguments.length === 0) {
    throw new TypeError("Failed to execute 'readAtLeast' on 'ReadableStreamBYOBReader': parameter 1 is not of type 'integer'.");
  }
  if (!ArrayBuffer.isView(view)) {
    throw new TypeError("Failed to execute 'readAtLeast' on 'ReadableStreamBYOBReader': parameter 2 is not of type 'ArrayBufferView'.");
  }
  const min = Math.trunc(Number(minElements));
  if (!(min >= 1)) throw new TypeError(`Requested invalid minimum number of bytes to read (${Number.isNaN(min) ? 0 : min}).`);
  if (min > view.byteLength) throw new TypeError(`Minimum bytes to read (${min}) exceeds size of buffer (${view.byteLength}).`);
  const { value, done } = await this.read(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), { min });
  // What came before the end is no end.
  return { value, done: done && !(value?.byteLength > 0) };
}
Object.defineProperty(ReadableStreamBYOBReader.prototype, "readAtLeast", {
  value: readAtLeast,
  writable: true,
  enumerable: true,
  configurable: true,
});

// Workers: how many bytes a request for bytes still wants at least; null for one that is over. Its controller knows.
Object.defineProperty(ReadableStreamBYOBRequest.prototype, "atLeast", {
  get: Object.getOwnPropertyDescriptor({
    get atLeast() {
      if (this.view === null) return null;
      const named = (holder, name) => Object.getOwnPropertySymbols(holder).find((symbol) => symbol.description === name);
      const controller = this[named(this, "[[controller]]")];
      const { bytesFilled, minimumFill } = controller[named(controller, "[[pendingPullIntos]]")].peek();
      return Math.max(1, minimumFill - bytesFilled);
    },
  }, "atLeast").get,
  enumerable: true,
  configurable: true,
});

return { Body, PerformanceResourceTiming, WebSocketRequestResponsePair };
})();
