function talk(socket) {
  return new Promise((resolve, reject) => {
    const heard = [];
    socket.addEventListener("message", ({ data }) => {
      heard.push(data);
      socket.send(heard.length === 1 ? "and me" : "close");
    });
    socket.addEventListener("close", ({ code, reason }) => resolve([heard, code, reason]));
    socket.addEventListener("error", (event) => reject(event.error ?? new Error("failed")));
  });
}
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/fetch") {
      const response = await fetch(`${env.ORIGIN}/websocket`, { headers: { upgrade: "websocket" } });
      const socket = response.webSocket;
      socket.accept();
      const result = talk(socket);
      socket.send("echo me");
      return Response.json([response.status, ...(await result)]);
    }
    const socket = new WebSocket(`${env.ORIGIN.replace("http", "ws")}/websocket`);
    const result = talk(socket);
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    socket.send("echo me");
    return Response.json([socket.url.startsWith("ws"), ...(await result)]);
  },
};
