export default {
  fetch(request) {
    if (request.headers.get("upgrade") !== "websocket") return new Response("no upgrade", { status: 426 });
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", (event) => server.send(`api heard ${event.data}`));
    return new Response(null, { status: 101, webSocket: client });
  },
};
