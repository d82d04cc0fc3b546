import { connect } from "cloudflare:sockets";

async function ask(socket, text) {
  await socket.writable.getWriter().write(new TextEncoder().encode(text));
  const { value } = await socket.readable.getReader().read();
  return new TextDecoder().decode(value);
}

export default {
  async fetch(request, env, ctx) {
    switch (new URL(request.url).pathname) {
      case "/open":
        // Never closed by the handler.
        return new Response(await ask(connect(env.TCP), "mark ended"));
      case "/ended":
        return fetch(`${env.ORIGIN}/gate/ended`);
      default: {
        const socket = connect(env.TCP);
        await socket.opened;
        ctx.waitUntil((async () => {
          await scheduler.wait(50);
          console.log("in the background:", await ask(socket, "still"));
        })());
        return new Response("answered first");
      }
    }
  },
};
