function ends() {
  const [a, b] = Object.values(new WebSocketPair());
  a.accept();
  b.accept();
  return [a, b];
}

export default {
  async fetch(request) {
    const url = new URL(request.url);
    const log = [];
    switch (url.pathname) {
      case "/": {
        const [a, b] = ends();
        a.addEventListener("message", (event) => log.push(["a", typeof event.data, event.data]));
        a.addEventListener("close", (event) => log.push(["a close", event.code, event.wasClean]));
        b.addEventListener("error", (event) => log.push(["b error", event.message]));
        b.addEventListener("close", (event) => log.push(["b close", event.code]));
        b.addEventListener("message", (event) => {
          log.push(["b", event.data]);
          throw new Error("listener");
        });
        b.addEventListener("message", () => log.push(["b again"]));
        b.send(new Blob(["content"]));
        a.send("one");
        await scheduler.wait(50);
        return Response.json(log);
      }
      case "/socket": {
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        server.addEventListener("message", ({ data }) => {
          if (data === "throw") throw new Error("listener");
          server.send(`echo ${data}`);
        });
        return new Response(null, { status: 101, webSocket: client });
      }
      case "/client": {
        const { webSocket } = await fetch(new URL("/socket", url), { headers: { upgrade: "websocket" } });
        webSocket.accept();
        const closed = new Promise((resolve) => {
          webSocket.addEventListener("message", (event) => log.push(["message", event.data]));
          webSocket.addEventListener("close", (event) => {
            log.push(["close", event.code, event.wasClean]);
            resolve();
          });
        });
        webSocket.send("throw");
        await closed;
        return Response.json(log);
      }
      default: {
        // A listener that is removed is not called; an object with handleEvent is one.
        const [a, b] = ends();
        const first = () => log.push("first");
        b.addEventListener("message", first);
        b.removeEventListener("message", first);
        const heard = new Promise((resolve) => {
          b.addEventListener("message", {
            handleEvent() {
              log.push("second");
              resolve();
            },
          });
        });
        a.send("x");
        await heard;
        return Response.json(log);
      }
    }
  },
};
