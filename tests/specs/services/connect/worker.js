import { WorkerEntrypoint } from "cloudflare:workers";

// Sends back what it gets, between what it was asked for and an end.
async function serve(socket) {
  const { localAddress } = await socket.opened;
  const writer = socket.writable.getWriter();
  await writer.write(new TextEncoder().encode(`[${localAddress}]`));
  for await (const chunk of socket.readable) await writer.write(chunk);
  await writer.write(new TextEncoder().encode("[end]"));
  await writer.close();
}

export class Pipe extends WorkerEntrypoint {
  async connect(socket) {
    await serve(socket);
  }
}

export class None extends WorkerEntrypoint {
  fetch() {
    return new Response("fetch alone");
  }
}

async function talk(service) {
  const socket = service.connect("database.example:5432", { allowHalfOpen: true });
  const { remoteAddress } = await socket.opened;
  const reading = new Response(socket.readable).text();
  const writer = socket.writable.getWriter();
  await writer.write(new TextEncoder().encode("one "));
  await writer.write(new TextEncoder().encode("two"));
  await writer.close();
  return [remoteAddress, await reading];
}

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case "/class":
        return Response.json(await talk(env.PIPE));
      case "/object":
        return Response.json(await talk(env.SELF));
      case "/none": {
        const socket = env.NONE.connect({ hostname: "database.example", port: 5432 });
        const told = await socket.opened.catch((error) => [error.name, error.message]);
        return Response.json(told);
      }
      case "/large": {
        const socket = env.PIPE.connect("x.example:1", { allowHalfOpen: true });
        const writer = socket.writable.getWriter();
        const bytes = new Uint8Array(100_000).fill(7);
        const sending = (async () => {
          for (let i = 0; i < 20; i++) await writer.write(bytes);
          await writer.close();
        })();
        const { byteLength } = await new Response(socket.readable).arrayBuffer();
        await sending;
        return Response.json(byteLength);
      }
      case "/address":
        return Response.json(["nothing", "a b:1", undefined].map((address) => {
          try {
            env.PIPE.connect(address);
            return "connected";
          } catch (error) {
            return error.name;
          }
        }));
    }
  },
  async connect(socket, env, ctx) {
    if (env.PIPE === undefined || ctx.waitUntil === undefined) throw new Error("no env or ctx");
    await serve(socket);
  },
};
