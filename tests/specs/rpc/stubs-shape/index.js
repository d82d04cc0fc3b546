import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  f() {
    return () => 1;
  }
}

const tests = {
  async binding(env, ctx, request) {
    return [typeof env.API, String(env.API), Object.keys(env.API), "anything" in env.API];
  },
  async json(env, ctx, request) {
    return JSON.parse(JSON.stringify({ api: env.API }));
  },
  async property(env, ctx, request) {
    return [typeof env.API.f, String(env.API.f), env.API.f.constructor.name];
  },
  async methods(env, ctx, request) {
    return ["fetch", "connect", "anything"].map((name) => typeof env.API[name]);
  },
  async detached_fetch(env, ctx, request) {
    const { fetch } = env.API;
    await fetch("http://h/");
  },
  async stub(env, ctx, request) {
    using f = await env.API.f();
    return [typeof f, typeof f.then, typeof f.anything, f instanceof RpcStub];
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
