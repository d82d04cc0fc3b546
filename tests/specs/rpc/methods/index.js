import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  add(a, b) {
    return a + b;
  }
  async later(value) {
    await scheduler.wait(1);
    return value;
  }
  count(...args) {
    return args.length;
  }
  touch(object) {
    object.touched = true;
    return object;
  }
  nothing() {}
}

const tests = {
  async add(env, ctx, request) {
    return await env.API.add(1, 2);
  },
  async later(env, ctx, request) {
    return await env.API.later([1, { a: null }]);
  },
  async many(env, ctx, request) {
    return await env.API.count(1, undefined, 3, 4);
  },
  async copies(env, ctx, request) {
    const mine = {};
    const theirs = await env.API.touch(mine);
    return [mine, theirs];
  },
  async undefined(env, ctx, request) {
    return String(await env.API.nothing());
  },
  async parallel(env, ctx, request) {
    return await Promise.all([3, 2, 1].map((n) => env.API.add(n, n)));
  },
  async detached(env, ctx, request) {
    const { add } = env.API;
    return await add(4, 5);
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
