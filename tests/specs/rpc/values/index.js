import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  echo(value) {
    return value;
  }
  type(value) {
    return Object.prototype.toString.call(value);
  }
}
const round = async (env, value) => [await env.API.type(value), await env.API.echo(value)];

const tests = {
  async date(env, ctx, request) {
    const [type, date] = await round(env, new Date(5));
    return [type, date.getTime()];
  },
  async regexp(env, ctx, request) {
    const [type, re] = await round(env, /a+/gi);
    return [type, String(re)];
  },
  async map(env, ctx, request) {
    const [type, map] = await round(env, new Map([["k", { v: 1 }]]));
    return [type, [...map]];
  },
  async set(env, ctx, request) {
    const [type, set] = await round(env, new Set([1, "a"]));
    return [type, [...set]];
  },
  async bytes(env, ctx, request) {
    const [type, bytes] = await round(env, new Uint8Array([1, 2, 255]));
    return [type, [...bytes]];
  },
  async buffer(env, ctx, request) {
    const [type, buffer] = await round(env, new Float64Array([1.5]).buffer);
    return [type, new Float64Array(buffer)[0]];
  },
  async bigint(env, ctx, request) {
    const [type, n] = await round(env, 2n ** 70n);
    return [type, String(n)];
  },
  async sparse(env, ctx, request) {
    const list = await env.API.echo([1, , 3]);
    return [list.length, 1 in list];
  },
  async cycle(env, ctx, request) {
    const a = { name: "a" };
    a.self = a;
    a.list = [a, a];
    const b = await env.API.echo(a);
    return [b.self === b, b.list[0] === b, b === a];
  },
  async shared(env, ctx, request) {
    const part = { n: 1 };
    const whole = await env.API.echo({ x: part, y: part });
    return whole.x === whole.y;
  },
  async numbers(env, ctx, request) {
    const [a, b, c] = await env.API.echo([NaN, -0, Infinity]);
    return [Number.isNaN(a), Object.is(b, -0), c === Infinity];
  },
  async boxed(env, ctx, request) {
    const [type, n] = await round(env, Object(3));
    return [type, typeof n, n + 1];
  },
  async headers(env, ctx, request) {
    const headers = new Headers([["a", "1"], ["set-cookie", "x=1"], ["set-cookie", "y=2"]]);
    const [type, got] = await round(env, headers);
    got.set("b", "mutable");
    return [type, got.getSetCookie(), got.get("b")];
  },
  async error(env, ctx, request) {
    const [type, error] = await round(env, new TypeError("e"));
    return [type, error instanceof TypeError, error.message, error.remote ?? null];
  },
  async dom_exception(env, ctx, request) {
    const [type, error] = await round(env, new DOMException("d", "AbortError"));
    return [type, error.name, error.message, error.code];
  },
  async service(env, ctx, request) {
    const [type, api] = await round(env, env.API);
    return [type, await api.echo("through")];
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
