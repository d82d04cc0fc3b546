import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  response() {
    return new Response("the body", { status: 201, headers: { "x-a": "b" } });
  }
  async request(request) {
    return [request.method, request.url, request.headers.get("x-h"), await request.text()];
  }
  forward(request) {
    return request;
  }
  wrapped() {
    return { response: Response.json({ a: 1 }) };
  }
}

const tests = {
  async response(env, ctx, request) {
    const response = await env.API.response();
    return [response.status, response.headers.get("x-a"), await response.text()];
  },
  async request(env, ctx, request) {
    return await env.API.request(new Request("http://h/p?q", { method: "PUT", body: "payload", headers: { "x-h": "v" } }));
  },
  async forth_and_back(env, ctx, request) {
    const back = await env.API.forward(new Request("http://h/", { method: "POST", body: "again" }));
    return [back instanceof Request, back.method, await back.text()];
  },
  async wrapped(env, ctx, request) {
    const { response } = await env.API.wrapped();
    return await response.json();
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
