export default {
  async fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    const heard = [];
    const answered = [];
    server.addEventListener("message", ({ data }) => heard.push(data.constructor.name));
    server.addEventListener("close", ({ code, reason }) => heard.push(`close ${code} ${reason}`));
    client.addEventListener("close", ({ code, reason }) => answered.push(`close ${code} ${reason}`));
    client.accept();
    server.accept();
    client.send(new Uint8Array(1));
    client.close(1000, "x");
    await scheduler.wait(50);
    heard.push(client.readyState, server.readyState);
    server.close(1001, "y");
    await scheduler.wait(50);
    answered.push(client.readyState, server.readyState);
    return Response.json([client.binaryType, heard, answered]);
  },
};
