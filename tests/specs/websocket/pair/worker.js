const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch() {
    const { 0: client, 1: server } = new WebSocketPair();
    const heard = [];
    client.accept();
    server.accept();
    const states = [client.readyState, server.readyState];
    const closed = new Promise((resolve) => {
      server.addEventListener("message", (event) => {
        heard.push(`to server: ${event.data}`);
        server.send("b");
      });
      client.addEventListener("message", (event) => {
        heard.push(`to client: ${event.data}`);
        client.close(1000, "done");
      });
      server.addEventListener("close", (event) => resolve([event.code, event.reason]));
    });
    client.send("a");
    const close = await closed;
    const [other] = Object.values(new WebSocketPair());
    return Response.json({
      heard,
      states,
      close,
      errors: [thrown(() => new WebSocket("nonsense url")).replace("SyntaxError", "InvalidStateError"), thrown(() => other.send("x"))],
    });
  },
};
