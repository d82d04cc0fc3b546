import { connect } from "cloudflare:sockets";

let saved;

async function outcome(work) {
  try {
    return String(await work());
  } catch (error) {
    return String(error).startsWith("Error: Cannot perform I/O on behalf of a different request. ") ? "cannot" : String(error);
  }
}

export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/save") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      const socket = connect(env.TCP);
      await socket.opened;
      saved = { client, server, socket };
      return new Response("saved");
    }
    return Response.json([
      await outcome(() => saved.client.accept()),
      await outcome(() => saved.server.send("x")),
      await outcome(() => saved.socket.writable.getWriter().write(new Uint8Array(1))),
    ]);
  },
};
