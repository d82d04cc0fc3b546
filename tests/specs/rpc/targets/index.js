import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  async use(target) {
    return [await target.name("x"), await target.kind];
  }
  back(value) {
    return value;
  }
  async ask(target) {
    return await target();
  }
}
class Target extends RpcTarget {
  count = 0;
  name(suffix) {
    this.count++;
    return `target ${suffix}`;
  }
  get kind() {
    return "kind";
  }
}

const tests = {
  async argument(env, ctx, request) {
    return await env.API.use(new Target());
  },
  async home(env, ctx, request) {
    const target = new Target();
    using stub = await env.API.back(target);
    await stub.name("a");
    await stub.name("b");
    return target.count;
  },
  async function_home(env, ctx, request) {
    let calls = 0;
    using stub = await env.API.back(() => ++calls);
    await stub();
    return [await stub(), calls];
  },
  async local(env, ctx, request) {
    const target = new Target();
    using stub = new RpcStub(target);
    return [await stub.name("l"), target.count];
  },
  async local_function(env, ctx, request) {
    using stub = new RpcStub((x) => x + 1);
    return await stub(1);
  },
  async plain_local(env, ctx, request) {
    using stub = new RpcStub({ a: () => 1, b: 2 });
    return [await stub.a(), await stub.b];
  },
  async not_callable(env, ctx, request) {
    return await env.API.ask(new Target());
  },
  async no_object(env, ctx, request) {
    return new RpcStub(5);
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
