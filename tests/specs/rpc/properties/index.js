import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  get answer() {
    return 42;
  }
  get tree() {
    return { a: { b: { c: "leaf" } }, f: (x) => x + 1 };
  }
  get later() {
    return Promise.resolve("in time");
  }
}

const tests = {
  async read(env, ctx, request) {
    return await env.API.answer;
  },
  async deep(env, ctx, request) {
    return await env.API.tree.a.b.c;
  },
  async function(env, ctx, request) {
    return await env.API.tree.f(1);
  },
  async promise(env, ctx, request) {
    return await env.API.later;
  },
  async no_function(env, ctx, request) {
    return await env.API.answer();
  },
  async missing(env, ctx, request) {
    return await env.API.tree.x;
  },
  async missing_below(env, ctx, request) {
    return await env.API.tree.x.y;
  },
  async tags(env, ctx, request) {
    const call = env.API.tree.f(1);
    const tags = [env.API.answer, call].map((value) => Object.prototype.toString.call(value) + typeof value);
    await call;
    return tags;
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
