// The global scope that a worker sees. Runs once, while the startup snapshot is made.
(function () {
const { core } = __bootstrap;
const load = core.loadExtScript;

const webidl = load("ext:deno_webidl/00_webidl.js");
const event = load("ext:deno_web/02_event.js");
const abort = load("ext:deno_web/03_abort_signal.js");
const base64 = load("ext:deno_web/05_base64.js");
const blob = load("ext:deno_web/09_file.js");
const cryptography = load("ext:deno_crypto/00_crypto.js");
const encoding = load("ext:deno_web/08_text_encoding.js");
const messagePort = load("ext:deno_web/13_message_port.js");
const performance = load("ext:deno_web/15_performance.js");
const streams = load("ext:deno_web/06_streams.js");
const { clearTimeout, setInterval, setTimeout } = load("ext:deno_web/02_timers.js");
const url = load("ext:deno_web/00_url.js");
const { DOMException } = load("ext:deno_web/01_dom_exception.js");

const { assertInHandler, AsyncLocalStorage } = load("ext:atoll_js/00_context.js");
const { admitFiring, currentAccount, endTimer } = load("ext:atoll_js/03_account.js");
const { Headers } = load("ext:atoll_js/10_headers.js");
const { ExtendableEvent, FetchEvent, ScheduledEvent, TailEvent, TraceEvent } = load("ext:atoll_js/33_script.js");
const { Body, PerformanceResourceTiming, WebSocketRequestResponsePair } = load("ext:atoll_js/45_scope.js");
const { waitUntil } = load("ext:atoll_js/23_workers.js");
const { FormData } = load("ext:atoll_js/11_formdata.js");
const { Request } = load("ext:atoll_js/13_request.js");
const { Response } = load("ext:atoll_js/14_response.js");
const { fetch } = load("ext:atoll_js/15_fetch.js");
const { FixedLengthStream, IdentityTransformStream } = load("ext:atoll_js/16_streams.js");
const { freeze: freezeClock, inOwnTime } = load("ext:atoll_js/19_clock.js");
const { WebSocket, WebSocketPair } = load("ext:atoll_js/20_websocket.js");
const { Cache, caches, CacheStorage } = load("ext:atoll_js/40_cache.js");
const { install: installCryptoExtras } = load("ext:atoll_js/29_crypto_extras.js");
const { console } = load("ext:atoll_js/22_console.js");
load("ext:atoll_js/29_web.js");
const { laterGlobal } = load("ext:atoll_js/02_later.js");

// The one that routes what a callback throws to the global error event.
const enqueueMicrotask = globalThis.queueMicrotask;

const ILLEGAL = Symbol("illegal constructor");

class WorkerGlobalScope extends event.EventTarget {
  constructor(key) {
    if (key !== ILLEGAL) throw new TypeError("Illegal constructor");
    super();
  }
}

class ServiceWorkerGlobalScope extends WorkerGlobalScope {}
webidl.configureInterface(WorkerGlobalScope);
webidl.configureInterface(ServiceWorkerGlobalScope);

// Random values and timers have no place in module evaluation.
function guard(holder, name) {
  const original = holder[name];
  const guarded = {
    [name](...args) {
      assertInHandler();
      return original.apply(this, args);
    },
  }[name];
  Object.defineProperty(guarded, "length", { value: original.length, configurable: true });
  Object.defineProperty(holder, name, { value: guarded, writable: true, enumerable: true, configurable: true });
}
guard(cryptography.Crypto.prototype, "getRandomValues");
guard(cryptography.Crypto.prototype, "randomUUID");
guard(cryptography.SubtleCrypto.prototype, "generateKey");

installCryptoExtras(cryptography);
guard(abort.AbortSignal, "timeout");

// Objects of the platform do not become empty ones by structuredClone(), on their own or inside of others. (Those that can be
// cloned, and some that cannot, have their brand from the engine.)
for (
  const Class of [
    abort.AbortController, CacheStorage, Cache, cryptography.Crypto, cryptography.CryptoKey, encoding.TextDecoder, encoding.TextEncoder, event.Event,
    event.EventTarget, FormData, Headers, messagePort.MessageChannel, performance.Performance, Request, Response, cryptography.SubtleCrypto, url.URL,
    url.URLSearchParams, WebSocketPair,
  ]
) {
  // Writable: a port has its own.
  Object.defineProperty(Class.prototype, core.hostObjectBrand, { value: Class.name, writable: true });
}

const timerFunctions = {
  setTimeout(callback, delay = undefined, ...args) {
    assertInHandler();
    checkCallback(callback, "setTimeout");
    return startTimer(setTimeout, callback, args, delay, false);
  },
  setInterval(callback, delay = undefined, ...args) {
    assertInHandler();
    checkCallback(callback, "setInterval");
    return startTimer(setInterval, callback, args, delay, true);
  },
  clearTimeout(id = undefined) {
    if (typeof id === "number") stopTimer(id);
  },
  clearInterval(id = undefined) {
    if (typeof id === "number") stopTimer(id);
  },
};

// A timer that its event pays for until it fires for the last time or is cleared.
function startTimer(start, callback, args, delay, repeats) {
  const account = currentAccount();
  account.admitTimer();
  const fire = inOwnTime(callback, args);
  const id = start(() => {
    if (!admitFiring(id)) return;
    if (!repeats) endTimer(id);
    fire();
  }, delay);
  account.addTimer(id);
  return id;
}

function stopTimer(id) {
  clearTimeout(id);
  endTimer(id);
}

function checkCallback(callback, name) {
  if (typeof callback !== "function") {
    throw new TypeError(`Failed to execute '${name}': the callback (argument 1) must be a function, text is not run.`);
  }
}

class Scheduler {
  // Rejects, never throws.
  async wait(delay, options = undefined) {
    if (arguments.length === 0) {
      throw new TypeError("Failed to execute 'wait' on 'Scheduler': parameter 1 is not of type 'number'.");
    }
    const signal = options?.signal;
    if (signal !== undefined && signal !== null && !(signal instanceof abort.AbortSignal)) {
      throw new TypeError("Incorrect type for the 'signal' field on 'WaitOptions': the provided value is not of type 'AbortSignal'.");
    }
    assertInHandler();
    signal?.throwIfAborted();
    await new Promise((resolve, reject) => {
      const id = startTimer(setTimeout, () => {
        signal?.[abort.remove](onAbort);
        resolve();
      }, [], delay, false);
      const onAbort = () => {
        stopTimer(id);
        reject(signal.reason);
      };
      signal?.[abort.add](onAbort);
    });
  }
}

webidl.configureInterface(Scheduler);

class Navigator {
  get platform() {
    return "";
  }
  get userAgent() {
    return "Cloudflare-Workers";
  }
  get language() {
    return "en";
  }
  get languages() {
    return ["en"];
  }
  get hardwareConcurrency() {
    return 1;
  }
  // Whether it was sent is nobody's to know: true, also for a URL that nothing can be sent to. The event waits for it.
  sendBeacon(url, data = undefined) {
    if (arguments.length === 0) {
      throw new TypeError("Failed to execute 'sendBeacon' on 'Navigator': parameter 1 is not of type 'string'.");
    }
    assertInHandler();
    const sent = fetch(`${url}`, { method: "POST", body: data ?? null }).then((response) => response.body?.cancel()).catch(() => {});
    waitUntil(sent);
    return true;
  }
}

Object.defineProperty(Navigator.prototype, Symbol.toStringTag, { value: "Navigator", configurable: true });

const classes = {
  AbortController: abort.AbortController,
  AbortSignal: abort.AbortSignal,
  Blob: blob.Blob,
  Body,
  ByteLengthQueuingStrategy: streams.ByteLengthQueuingStrategy,
  Cache,
  CacheStorage,
  CloseEvent: event.CloseEvent,
  CountQueuingStrategy: streams.CountQueuingStrategy,
  CryptoKey: cryptography.CryptoKey,
  CustomEvent: event.CustomEvent,
  DOMException,
  ErrorEvent: event.ErrorEvent,
  Event: event.Event,
  EventTarget: event.EventTarget,
  ExtendableEvent,
  FetchEvent,
  File: blob.File,
  FixedLengthStream,
  FormData,
  Headers,
  IdentityTransformStream,
  MessageChannel: messagePort.MessageChannel,
  MessageEvent: event.MessageEvent,
  MessagePort: messagePort.MessagePort,
  Navigator,
  Performance: performance.Performance,
  PerformanceEntry: performance.PerformanceEntry,
  PerformanceMark: performance.PerformanceMark,
  PerformanceMeasure: performance.PerformanceMeasure,
  PerformanceObserver: performance.PerformanceObserver,
  PerformanceObserverEntryList: performance.PerformanceObserverEntryList,
  PerformanceResourceTiming,
  ProgressEvent: event.ProgressEvent,
  PromiseRejectionEvent: event.PromiseRejectionEvent,
  ReadableByteStreamController: streams.ReadableByteStreamController,
  ReadableStream: streams.ReadableStream,
  ReadableStreamBYOBReader: streams.ReadableStreamBYOBReader,
  ReadableStreamBYOBRequest: streams.ReadableStreamBYOBRequest,
  ReadableStreamDefaultController: streams.ReadableStreamDefaultController,
  ReadableStreamDefaultReader: streams.ReadableStreamDefaultReader,
  Request,
  Response,
  ScheduledEvent,
  Scheduler,
  ServiceWorkerGlobalScope,
  TailEvent,
  TextDecoder: encoding.TextDecoder,
  TextDecoderStream: encoding.TextDecoderStream,
  TextEncoder: encoding.TextEncoder,
  TextEncoderStream: encoding.TextEncoderStream,
  TraceEvent,
  TransformStream: streams.TransformStream,
  TransformStreamDefaultController: streams.TransformStreamDefaultController,
  URL: url.URL,
  URLSearchParams: url.URLSearchParams,
  WebSocket,
  WebSocketPair,
  WebSocketRequestResponsePair,
  WorkerGlobalScope,
  WritableStream: streams.WritableStream,
  WritableStreamDefaultController: streams.WritableStreamDefaultController,
  WritableStreamDefaultWriter: streams.WritableStreamDefaultWriter,
};

// Classes by the script that is loaded when they are first looked at.
const later = {
  __proto__: null,
  CompressionStream: "ext:atoll_js/16_compression.js",
  // In the snapshot, but not what asking for them makes (43_surface.js).
  Crypto: "ext:deno_crypto/00_crypto.js",
  DecompressionStream: "ext:atoll_js/16_compression.js",
  EventSource: "ext:atoll_js/42_eventsource.js",
  HTMLRewriter: "ext:atoll_js/41_html.js",
  SubtleCrypto: "ext:deno_crypto/00_crypto.js",
  URLPattern: "ext:deno_web/01_urlpattern.js",
};

// Those of browsers' workers, which the platform does not have. The Web Platform Tests ask for some.
const browsers = {
  __proto__: null,
  BroadcastChannel: "ext:atoll_js/29_browsers.js",
  FileList: "ext:atoll_js/29_browsers.js",
  FileReader: "ext:deno_web/10_filereader.js",
  FileReaderSync: "ext:atoll_js/30_filereader_sync.js",
};

const functions = {
  atob: base64.atob,
  btoa: base64.btoa,
  fetch,
  queueMicrotask(callback) {
    checkCallback(callback, "queueMicrotask");
    enqueueMicrotask(callback);
  },
  reportError: event.reportError,
  structuredClone: messagePort.structuredClone,
  ...timerFunctions,
};

const values = {
  caches,
  console,
  navigator: new Navigator(),
  // HTML Standard: that of no site.
  origin: "null",
  performance: performance.performance,
  scheduler: new Scheduler(),
};

function install() {
  for (const [name, value] of Object.entries({ ...classes, ...functions })) {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  }
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: true, configurable: true });
  }
  Object.defineProperty(globalThis, "self", { value: globalThis, writable: true, enumerable: true, configurable: true });
  // The objects behind crypto cannot stand in a snapshot: made at first use.
  Object.defineProperty(globalThis, "crypto", {
    get() {
      return cryptography.crypto;
    },
    set(value) {
      Object.defineProperty(globalThis, "crypto", { value, writable: true, enumerable: true, configurable: true });
    },
    enumerable: true,
    configurable: true,
  });
  Object.setPrototypeOf(globalThis, ServiceWorkerGlobalScope.prototype);
  Object.defineProperty(globalThis, webidl.brand, { value: webidl.brand });
  event.saveGlobalThisReference(globalThis);
  event.setEventTargetData(globalThis);
  event.defineEventHandler(globalThis, "error");
  event.defineEventHandler(globalThis, "unhandledrejection");
  event.defineEventHandler(globalThis, "rejectionhandled");
  freezeClock();
}

// Runs when an isolate is made: such properties cannot stand in a snapshot. Functions that every start calls stand in parentheses
// (91_dispatch.js).
const installLater = (function installLater(conformance) {
  for (const name in later) laterGlobal(name, later[name]);
  if (!conformance) return;
  for (const name in browsers) laterGlobal(name, browsers[name]);
});

return { AsyncLocalStorage, install, installLater };
})();
