export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (request.headers.get("upgrade") !== "websocket") return new Response("upgrade", { status: 426 });
    if (pathname === "/refused") return new Response("not you", { status: 403 });
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.binaryType = "arraybuffer";
    server.addEventListener("message", ({ data }) => {
      if (data === "close") return server.close(4000, "as asked");
      if (data === "throw") throw new Error("thrown in a message handler");
      server.send(typeof data === "string" ? `echo ${data}` : new Uint8Array(data).map((byte) => byte + 1));
    });
    server.addEventListener("close", ({ code, reason, wasClean }) => {
      console.log("closed with", code, reason, wasClean);
      server.close(code, reason);
    });
    if (pathname === "/greet") server.send("welcome");
    const headers = pathname === "/protocol" ? { "sec-websocket-protocol": "v2" } : {};
    return new Response(null, { status: 101, webSocket: client, headers });
  },
};
