import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
class Custom extends Error {
  constructor(message) {
    super(message);
    this.name = "Custom";
    this.code = "E1";
    this.detail = { a: [1] };
  }
}
export class Api extends WorkerEntrypoint {
  type() {
    throw new TypeError("bad thing");
  }
  custom() {
    throw new Custom("mine");
  }
  cause() {
    throw new RangeError("outer", { cause: new Error("inner") });
  }
  text() {
    throw "a string";
  }
  object() {
    throw { a: 1 };
  }
  dom() {
    throw new DOMException("aborted", "AbortError");
  }
  async late() {
    await scheduler.wait(1);
    throw new SyntaxError("late");
  }
}
const thrown = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
};

const tests = {
  async type(env, ctx, request) {
    const e = await thrown(env.API.type());
    return [e instanceof TypeError, e.message, e.remote, e.stack.split("\n")[0]];
  },
  async custom(env, ctx, request) {
    const e = await thrown(env.API.custom());
    return [e instanceof Error, e.name, e.message, e.code, e.detail, e.remote];
  },
  async cause(env, ctx, request) {
    const e = await thrown(env.API.cause());
    return [e instanceof RangeError, e.cause instanceof Error, e.cause.message, e.cause.remote ?? null];
  },
  async text(env, ctx, request) {
    const e = await thrown(env.API.text());
    return [e instanceof Error, e.message, e.remote];
  },
  async object(env, ctx, request) {
    return await thrown(env.API.object());
  },
  async dom(env, ctx, request) {
    const e = await thrown(env.API.dom());
    return [e instanceof DOMException, e.name, e.message, e.remote];
  },
  async late(env, ctx, request) {
    return await env.API.late();
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
