import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  async call(f, ...args) {
    return await f(...args);
  }
  double() {
    return (x) => 2 * x;
  }
  object() {
    return { triple: (x) => 3 * x, n: 1 };
  }
  async sum(items, each) {
    let total = 0;
    for (const item of items) total += await each(item);
    return total;
  }
  async caught(f) {
    try {
      await f();
      return "no error";
    } catch (error) {
      return `${error.name}: ${error.message} ${error.remote}`;
    }
  }
}

const tests = {
  async argument(env, ctx, request) {
    return await env.API.call((a, b) => a * b, 6, 7);
  },
  async asynchronous(env, ctx, request) {
    return await env.API.call(async (a) => {
      await scheduler.wait(1);
      return a;
    }, "a");
  },
  async result(env, ctx, request) {
    using double = await env.API.double();
    return await double(4);
  },
  async within(env, ctx, request) {
    using object = await env.API.object();
    return [await object.triple(4), object.n];
  },
  async many_calls(env, ctx, request) {
    let calls = 0;
    const total = await env.API.sum([1, 2, 3], (item) => {
      calls++;
      return item * 10;
    });
    return [total, calls];
  },
  async throws(env, ctx, request) {
    return await env.API.call(() => {
      throw new RangeError("from the caller");
    });
  },
  async caught(env, ctx, request) {
    return await env.API.caught(() => {
      throw new TypeError("caught there");
    });
  },
  async tag(env, ctx, request) {
    using double = await env.API.double();
    return [typeof double, Object.prototype.toString.call(double), double instanceof RpcStub];
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
