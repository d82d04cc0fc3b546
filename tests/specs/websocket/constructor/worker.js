function listen(socket) {
  const log = [];
  socket.addEventListener("open", () => log.push(`open ${socket.readyState}`));
  socket.addEventListener("error", () => log.push(`error ${socket.readyState}`));
  socket.addEventListener("message", ({ data }) => log.push(`message ${data} ${socket.readyState}`));
  const closed = new Promise((resolve) => {
    socket.addEventListener("close", ({ code, reason, wasClean }) => {
      log.push(`close ${code} ${reason} ${wasClean} ${socket.readyState}`);
      resolve([...log]);
    });
  });
  const opened = new Promise((resolve) => socket.addEventListener("open", resolve));
  return { log, opened, closed };
}
const thrown = (work) => {
  try {
    return String(work());
  } catch (error) {
    return error.name === "TypeError" ? "TypeError" : String(error);
  }
};

export default {
  async fetch(_request, env) {
    const url = `${env.ORIGIN.replace("http", "ws")}/websocket`;
    const out = {};
    {
      const socket = new WebSocket(url);
      out.properties = [socket.url === url, socket.protocol, socket.extensions, socket.binaryType, socket instanceof EventTarget];
      const { log, opened, closed } = listen(socket);
      log.push(String(socket.readyState));
      await opened;
      socket.send("hello");
      await new Promise((resolve) => socket.addEventListener("message", resolve, { once: true }));
      socket.send("close");
      out.talk = await closed;
    }
    {
      const socket = new WebSocket(url);
      const { log, opened, closed } = listen(socket);
      await opened;
      socket.close(4000, "mine");
      log.push(String(socket.readyState));
      out.mine = await closed;
    }
    out.refused = await listen(new WebSocket("ws://127.0.0.1:1/")).closed;
    out["not found"] = await listen(new WebSocket(`${env.ORIGIN.replace("http", "ws")}/status/404`)).closed;
    out.bad = [
      thrown(() => new WebSocket("nonsense")),
      thrown(() => new WebSocket("ftp://x")),
      thrown(() => new WebSocket("ws://x/#a")),
      thrown(() => new WebSocket("ws://x", "a b")),
      thrown(() => new WebSocket("ws://x", ["a", "a"])),
      thrown(() => new WebSocket()),
      thrown(() => WebSocket("ws://x")),
    ];
    return Response.json(out);
  },
};
