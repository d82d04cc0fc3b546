import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  echo(value) {
    return value;
  }
  instance() {
    return new Private();
  }
  symbol() {
    return Symbol("s");
  }
  promise() {
    return { p: Promise.resolve(1) };
  }
}
class Private {
  a = 1;
}

const tests = {
  async symbol(env, ctx, request) {
    return await env.API.echo(Symbol("q"));
  },
  async instance(env, ctx, request) {
    return await env.API.echo(new Private());
  },
  async below(env, ctx, request) {
    return await env.API.echo({ list: [new Private()] });
  },
  async null_prototype(env, ctx, request) {
    return await env.API.echo(Object.create(null));
  },
  async url(env, ctx, request) {
    return await env.API.echo(new URL("http://a/"));
  },
  async form(env, ctx, request) {
    return await env.API.echo(new FormData());
  },
  async promise(env, ctx, request) {
    return await env.API.echo(Promise.resolve(1));
  },
  async weak_map(env, ctx, request) {
    return await env.API.echo(new WeakMap());
  },
  async rpc_promise(env, ctx, request) {
    return await env.API.echo(env.API.echo(1));
  },
  async rpc_property(env, ctx, request) {
    return await env.API.echo(env.API.echo);
  },
  async their_instance(env, ctx, request) {
    return await env.API.instance();
  },
  async their_symbol(env, ctx, request) {
    return await env.API.symbol();
  },
  async their_promise(env, ctx, request) {
    return await env.API.promise();
  },
  async not_thrown_at_once(env, ctx, request) {
    let thrown = false;
    try {
      env.API.echo(new Private()).catch(() => {});
    } catch {
      thrown = true;
    }
    return thrown;
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
