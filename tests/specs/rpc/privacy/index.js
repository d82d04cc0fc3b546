import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  own = 1;
  #hidden = 2;
  _method() {
    return "underscores are no secret";
  }
  target() {
    return new Target();
  }
}
class Target extends RpcTarget {
  own = 1;
  get accessor() {
    return this.own + 1;
  }
}

const tests = {
  async missing(env, ctx, request) {
    return await env.API.nope();
  },
  async own(env, ctx, request) {
    return await env.API.own;
  },
  async hidden(env, ctx, request) {
    return await env.API["#hidden"]();
  },
  async env(env, ctx, request) {
    return await env.API.env;
  },
  async ctx(env, ctx, request) {
    return await env.API.ctx;
  },
  async underscore(env, ctx, request) {
    return await env.API._method();
  },
  async target(env, ctx, request) {
    return await env.API.target().own;
  },
  async accessor(env, ctx, request) {
    return await env.API.target().accessor;
  },
  async class_name(env, ctx, request) {
    return env.API.constructor.name;
  },
  async then(env, ctx, request) {
    return typeof env.API.then;
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
