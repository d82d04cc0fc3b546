import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
let disposed = [];
class Target extends RpcTarget {
  constructor(name) {
    super();
    this.#name = name;
  }
  #name;
  name() {
    return this.#name;
  }
  [Symbol.dispose]() {
    disposed.push(this.#name);
  }
}
export class Api extends WorkerEntrypoint {
  target(name) {
    return new Target(name);
  }
  disposed() {
    return disposed;
  }
  take(target) {
    return target.name();
  }
}
const settle = async (env, name) => {
  for (let i = 0; i < 100 && !(await env.API.disposed()).includes(name); i++) await scheduler.wait(5);
  return (await env.API.disposed()).includes(name);
};

const tests = {
  async using(env, ctx, request) {
    {
      using target = await env.API.target("a");
      await target.name();
    }
    return await settle(env, "a");
  },
  async copies(env, ctx, request) {
    const target = await env.API.target("b");
    const copy = target.dup();
    target[Symbol.dispose]();
    const before = (await env.API.disposed()).includes("b");
    await copy.name();
    copy[Symbol.dispose]();
    return [before, await settle(env, "b")];
  },
  async pipelined(env, ctx, request) {
    {
      using target = env.API.target("c");
      await target.name();
    }
    return await settle(env, "c");
  },
  async argument(env, ctx, request) {
    await env.API.take(new Target("d"));
    return await settle(env, "d");
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
