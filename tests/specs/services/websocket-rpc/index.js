export default {
  async fetch(request, env) {
    const [client, server] = Object.values(new WebSocketPair());
    const session = await env.API.session("room");
    server.accept();
    server.addEventListener("message", async (event) => {
      server.send(`${await session.say(event.data)}, ${await env.API.count()} in all`);
    });
    return new Response(null, { status: 101, webSocket: client });
  },
};
