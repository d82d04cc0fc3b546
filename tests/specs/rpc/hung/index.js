import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  hang() {
    return new Promise(() => {});
  }
  fetch() {
    return new Promise(() => {});
  }
  fine() {
    return "fine";
  }
}

const tests = {
  async hang(env, ctx, request) {
    try {
      return await env.API.hang();
    } catch (error) {
      return error.message.includes("would never generate a response");
    }
  },
  async fetch(env, ctx, request) {
    try {
      return await env.API.fetch("http://h/");
    } catch (error) {
      return error.message.includes("would never generate a response");
    }
  },
  async after(env, ctx, request) {
    return await env.API.fine();
  },
};

// Runs the test that the path names; what it throws is shown.
export default {
  async fetch(request, env, ctx) {
    const test = tests[new URL(request.url).pathname.slice(1)];
    try {
      return Response.json({ value: (await test(env, ctx, request)) ?? null });
    } catch (error) {
      return Response.json({ error: `${error?.name}: ${error?.message}`, remote: error?.remote ?? false });
    }
  },
};
