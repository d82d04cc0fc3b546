import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  props() {
    return this.ctx.props;
  }
  async viaExports() {
    return await this.ctx.exports.Other({ props: { from: "Api" } }).hello();
  }
}
export class Other extends WorkerEntrypoint {
  hello() {
    return `hello ${JSON.stringify(this.ctx.props)}`;
  }
  fetch(request) {
    return new Response(`Other ${new URL(request.url).pathname}`);
  }
}
export const plain = {
  fetch(request, env, ctx) {
    return new Response(`plain ${JSON.stringify(ctx.props)} ${typeof env.API}`);
  },
  greet(name, env, ctx) {
    return `greetings, ${name}; ${typeof env.API} ${typeof ctx.waitUntil}`;
  },
};

const tests = {
  async configured(env, ctx, request) {
    return await env.API.props();
  },
  async names(env, ctx, request) {
    return ["Api", "Other", "default", "plain"].every((name) => name in ctx.exports);
  },
  async loopback(env, ctx, request) {
    return await ctx.exports.Other.hello();
  },
  async with_props(env, ctx, request) {
    return await ctx.exports.Other({ props: { a: [1] } }).hello();
  },
  async from_there(env, ctx, request) {
    return await env.API.viaExports();
  },
  async fetch(env, ctx, request) {
    return await (await ctx.exports.Other.fetch("http://h/path")).text();
  },
  async plain(env, ctx, request) {
    return await (await ctx.exports.plain({ props: { p: 1 } }).fetch("http://h/")).text();
  },
  async plain_method(env, ctx, request) {
    return await ctx.exports.plain.greet("you");
  },
  async imported(env, ctx, request) {
    const { exports } = await import("cloudflare:workers");
    return await exports.Other.hello();
  },
  async default_has_none(env, ctx, request) {
    return [ctx.props, typeof ctx.exports.Other];
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
