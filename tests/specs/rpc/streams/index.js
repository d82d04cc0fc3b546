import { RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
export class Api extends WorkerEntrypoint {
  stream() {
    return new Response("from there").body;
  }
  async read(stream) {
    return await new Response(stream).text();
  }
  async write(stream) {
    const writer = stream.getWriter();
    await writer.write(new TextEncoder().encode("hello "));
    await writer.write(new TextEncoder().encode("there"));
    await writer.close();
    return "written";
  }
  upper(stream) {
    return stream.pipeThrough(new TextDecoderStream()).pipeThrough(new TransformStream({
      transform(chunk, controller) {
        controller.enqueue(chunk.toUpperCase());
      },
    })).pipeThrough(new TextEncoderStream());
  }
  large(bytes) {
    let left = bytes;
    return new ReadableStream({
      type: "bytes",
      pull(controller) {
        const size = Math.min(left, 65536);
        if (size === 0) return controller.close();
        left -= size;
        controller.enqueue(new Uint8Array(size));
      },
    });
  }
}
const stream = (text) => new Response(text).body;

const tests = {
  async result(env, ctx, request) {
    return await new Response(await env.API.stream()).text();
  },
  async argument(env, ctx, request) {
    return await env.API.read(stream("from here"));
  },
  async writable(env, ctx, request) {
    const { readable, writable } = new IdentityTransformStream();
    const written = env.API.write(writable);
    const text = await new Response(readable).text();
    return [text, await written];
  },
  async both(env, ctx, request) {
    return await new Response(await env.API.upper(stream("abc"))).text();
  },
  async large(env, ctx, request) {
    let length = 0;
    for await (const chunk of await env.API.large(5 << 20)) length += chunk.byteLength;
    return length;
  },
  async within(env, ctx, request) {
    const { s, n } = await env.API.read(stream("x")).then((n) => env.API.stream().then((s) => ({ s, n })));
    return [await new Response(s).text(), n];
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
