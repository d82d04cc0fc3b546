const tried = (act) => {
  try {
    return act();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
const tag = (value) => Object.prototype.toString.call(value);
const base = (Class) => Object.getPrototypeOf(Class.prototype).constructor.name;

const routes = {
  illegal: () => [FetchEvent, ExtendableEvent, ScheduledEvent, TailEvent, TraceEvent, Body].map((Class) => tried(() => new Class("x"))),
  bases: () => [FetchEvent, ScheduledEvent, TailEvent, TraceEvent, ExtendableEvent, Request, Response].map(base),
  bodies: () => [new Response() instanceof Body, new Request("http://a.test") instanceof Body],
  pair() {
    const { request, response } = new WebSocketRequestResponsePair("ping", "pong");
    return [request, response, tried(() => new WebSocketRequestResponsePair("ping"))];
  },
  origin: () => [origin, self.origin],
  tags: ({ ctx, env }) => [
    tag(new CloseEvent("x")), tag(new WebSocketPair()), tag(navigator), tag(ctx), tag(env.KV), tag(env.ASSETS), tag(new ErrorEvent("x")),
  ],
  illegalInvocation({ ctx }) {
    const { waitUntil, passThroughOnException } = ctx;
    return [
      tried(() => waitUntil(Promise.resolve())).slice(0, 31),
      tried(() => passThroughOnException()).slice(0, 31),
      tried(() => ctx.waitUntil()),
    ];
  },
};

export default {
  async fetch(request, env, ctx) {
    return Response.json(await routes[new URL(request.url).pathname.slice(1)]({ ctx, env }));
  },
};
