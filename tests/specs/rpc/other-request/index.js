import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
let kept;
export class Api extends WorkerEntrypoint {
  f() {
    return () => 1;
  }
}

const tests = {
  async keep(env, ctx, request) {
    kept = await env.API.f();
    return await kept();
  },
  async use(env, ctx, request) {
    return await kept();
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
