export default function attack() {
  const [client, server] = Object.values(new WebSocketPair());
  server.accept();
  const message = "x".repeat(64 * 1024);
  const flood = () => {
    for (let i = 0; i < 100; i++) server.send(message);
    setTimeout(flood, 0);
  };
  flood();
  return new Response(null, { status: 101, webSocket: client });
}
