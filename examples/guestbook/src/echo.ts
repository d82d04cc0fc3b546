/** A WebSocket that says back whatever it hears, text as text and bytes as bytes. */
export function echo(): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.binaryType = "arraybuffer";
  server.accept();
  server.addEventListener("message", (event) => server.send(event.data));
  server.addEventListener("close", (event) => {
    // 1005 says that the peer gave no code; it cannot be sent.
    if (event.code === 1005) server.close();
    else server.close(event.code, event.reason);
  });
  return new Response(null, { status: 101, webSocket: client });
}
