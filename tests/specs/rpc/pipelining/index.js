import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
class Counter extends RpcTarget {
  #count = 0;
  increment(by = 1) {
    return (this.#count += by);
  }
  get value() {
    return this.#count;
  }
  child() {
    return { deep: { counter: this, double: (x) => 2 * x } };
  }
}
export class Api extends WorkerEntrypoint {
  counter() {
    return new Counter();
  }
  async slow() {
    await scheduler.wait(20);
    return new Counter();
  }
  fails() {
    throw new RangeError("no counter");
  }
}

const tests = {
  async one(env, ctx, request) {
    return await env.API.counter().increment(5);
  },
  async in_order(env, ctx, request) {
    using counter = env.API.slow();
    const calls = [1, 2, 3].map((n) => counter.increment(n));
    return await Promise.all(calls);
  },
  async after(env, ctx, request) {
    using counter = env.API.counter();
    await counter.increment(2);
    await counter.increment(3);
    return await counter.value;
  },
  async deep(env, ctx, request) {
    return await env.API.counter().child().deep.double(21);
  },
  async through(env, ctx, request) {
    using counter = env.API.counter();
    using child = counter.child();
    await child.deep.counter.increment(7);
    return await counter.value;
  },
  async failure(env, ctx, request) {
    return await env.API.fails().increment();
  },
  async awaited(env, ctx, request) {
    const counter = await env.API.counter();
    using _ = counter;
    await counter.increment();
    return await counter.increment();
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
