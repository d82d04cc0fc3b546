import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
let kept;
export class Api extends WorkerEntrypoint {
  object() {
    return { f: () => 1, g: () => 2 };
  }
  f() {
    return () => "called";
  }
  keep(f) {
    kept = f;
  }
  async keepAndUse(f) {
    const copy = f.dup();
    this.ctx.waitUntil(scheduler.wait(20).then(async () => {
      await copy("later");
      copy[Symbol.dispose]();
    }));
  }
  useKept() {
    return kept();
  }
}

const tests = {
  async used_after(env, ctx, request) {
    const f = await env.API.f();
    f[Symbol.dispose]();
    return await f();
  },
  async whole_result(env, ctx, request) {
    const object = await env.API.object();
    object[Symbol.dispose]();
    return await object.g();
  },
  async own_symbol(env, ctx, request) {
    using object = await env.API.object();
    return [Object.keys(object), Object.getOwnPropertySymbols(object).map(String)];
  },
  async copy(env, ctx, request) {
    const f = await env.API.f();
    using copy = f.dup();
    f[Symbol.dispose]();
    return await copy();
  },
  async twice(env, ctx, request) {
    const f = await env.API.f();
    f[Symbol.dispose]();
    f[Symbol.dispose]();
    return "fine";
  },
  async argument(env, ctx, request) {
    await env.API.keep(() => 1);
    return await env.API.useKept();
  },
  async kept_copy(env, ctx, request) {
    const { promise, resolve } = Promise.withResolvers();
    await env.API.keepAndUse(resolve);
    return await promise;
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
