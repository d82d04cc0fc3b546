export default {
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", ({ data }) => {
      if (data === "arraybuffer") {
        server.binaryType = "arraybuffer";
        server.send("ok");
      } else if (data === "many") {
        for (let n = 0; n < 5; n += 1) server.send(String(n));
      } else if (data === "large") {
        server.send("x".repeat(300000));
      } else {
        server.send(`${data.constructor.name} ${data.size ?? data.byteLength}`);
      }
    });
    return new Response(null, { status: 101, webSocket: client });
  },
};
