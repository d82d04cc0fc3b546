import { tracing } from "cloudflare:workers";

const tried = (act) => {
  try {
    return act();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

const routes = {
  values: () => [
    tracing.enterSpan("work", (span, a, b) => [span.constructor.name, a + b], 2, 3),
    tracing.startActiveSpan("work", (span) => tracing.getActiveSpan() === span),
    tried(() => tracing.enterSpan("work", () => {
      throw new RangeError("boom");
    })),
  ],
  async later() {
    return await tracing.startActiveSpan("outer", async (outer) => {
      await scheduler.wait(1);
      const inner = tracing.startSpan("inner");
      const held = tracing.withActiveSpan(inner, () => tracing.getActiveSpan() === inner);
      return [held, tracing.getActiveSpan() === outer];
    });
  },
  span() {
    const span = tracing.startSpan("one");
    const other = tracing.startSpan("two");
    const { traceId, spanId } = span.spanContext();
    const facts = [
      span.setAttribute("key", 1) === span, span.setAttributes({ a: true }) === span, span.updateName("x") === span,
      span.recordException(new Error("x")) === undefined, span.end() === undefined,
    ];
    return [facts, /^[0-9a-f]{32}$/.test(traceId), /^[0-9a-f]{16}$/.test(spanId), other.spanContext().traceId === traceId, spanId !== other.spanContext().spanId];
  },
  errors: () => [
    tried(() => tracing.enterSpan()),
    tried(() => tracing.enterSpan("x")),
    tried(() => tracing.withActiveSpan({}, () => {})),
    tried(() => tracing.startSpan("x").setAttribute()),
    tried(() => tracing.startSpan("x").setStatus({ code: 2 })),
    tried(() => new tracing.Span("x")),
    tried(() => (0, tracing.enterSpan)("x", () => {})).slice(0, 31),
  ],
  context: (ctx) => ctx.tracing.enterSpan("x", (span) => `${span}`),
};

export default {
  async fetch(request, env, ctx) {
    return Response.json(await routes[new URL(request.url).pathname.slice(1)](ctx));
  },
};
