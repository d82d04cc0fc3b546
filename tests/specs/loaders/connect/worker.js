import { WorkerEntrypoint } from "cloudflare:workers";

export class Pipe extends WorkerEntrypoint {
  async connect(socket) {
    const { localAddress } = await socket.opened;
    const writer = socket.writable.getWriter();
    await writer.write(new TextEncoder().encode(`asked for ${localAddress}`));
    await writer.close();
  }
}

export class None extends WorkerEntrypoint {
  fetch() {
    return new Response("fetch alone");
  }
}

const CODE = `
import { connect } from "cloudflare:sockets";
export default {
  async fetch() {
    try {
      const socket = connect("database.example:5432");
      return new Response(await new Response(socket.readable).text() + ", " + (await socket.opened).remoteAddress);
    } catch (error) {
      return new Response(error.message);
    }
  },
};`;

export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    const worker = env.LOADER.get(name, () => ({
      compatibilityDate: "2026-06-01",
      mainModule: "main.js",
      modules: { "main.js": CODE },
      globalOutbound: env[name],
    }));
    return await worker.getEntrypoint().fetch(request);
  },
};
