const name = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch() {
    return Response.json({
      agent: navigator.userAgent,
      self: [self === globalThis, typeof window, typeof document],
      names: ["AbortController", "Blob", "ByteLengthQueuingStrategy", "CompressionStream", "CountQueuingStrategy", "CustomEvent", "DOMException", "DecompressionStream", "Event", "EventTarget", "File", "FormData", "Headers", "MessageChannel", "ReadableStream", "Request", "Response", "TextDecoder", "TextDecoderStream", "TextEncoder", "TextEncoderStream", "TransformStream", "URL", "URLPattern", "URLSearchParams", "WebAssembly", "WebSocket", "WebSocketPair", "WritableStream", "atob", "btoa", "console", "crypto", "fetch", "navigator", "performance", "queueMicrotask", "reportError", "scheduler", "setInterval", "setTimeout", "structuredClone"].filter((name) => typeof globalThis[name] === "undefined"),
      noEval: [name(() => eval("1")), name(() => new Function("return 1")())],
      uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()),
      now: [typeof performance.now(), Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 60000, Date.now() > 1.7e12],
      intl: [new Intl.NumberFormat("de-DE").format(1234.5), new Date(0).toLocaleDateString("en-US", { timeZone: "UTC" }), Intl.DateTimeFormat().resolvedOptions().timeZone],
      deno: [typeof Deno, typeof process === "undefined" || typeof process.binding],
    });
  },
};
