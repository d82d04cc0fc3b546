export default function attack() {
  const [client, server] = Object.values(new WebSocketPair());
  server.accept();
  const message = "x".repeat(1 << 20);
  const go = () => {
    try {
      for (let i = 0; i < 100; i++) server.send(message);
    } catch {
      return;
    }
    setTimeout(go, 0);
  };
  setTimeout(go, 0);
  return new Response(null, { status: 101, webSocket: client });
}
