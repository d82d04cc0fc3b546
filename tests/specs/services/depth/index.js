import { WorkerEntrypoint } from "cloudflare:workers";

export class Api extends WorkerEntrypoint {
  async again(n) {
    return await this.ctx.exports.Api.again(n + 1);
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/fine") return new Response("fine");
    try {
      if (pathname === "/rpc") return new Response(await env.API.again(0));
      return await env.SELF.fetch(request.url);
    } catch (error) {
      return new Response(error.message);
    }
  },
};
