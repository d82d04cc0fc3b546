import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  length(text) {
    return text.length;
  }
  text(length) {
    return "x".repeat(length);
  }
}

const tests = {
  async enough(env, ctx, request) {
    return await env.API.length("x".repeat(20 << 20));
  },
  async argument(env, ctx, request) {
    try {
      return await env.API.length("x".repeat(33 << 20));
    } catch (error) {
      return error.message.replace(/[0-9]{8,}/, "N");
    }
  },
  async result(env, ctx, request) {
    try {
      return await env.API.text(33 << 20);
    } catch (error) {
      return [error.message.replace(/[0-9]{8,}/, "N"), error.remote];
    }
  },
  async after(env, ctx, request) {
    return await env.API.length("still there");
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
