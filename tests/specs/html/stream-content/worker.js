const rewrite = (html, ...handlers) => {
  const rewriter = new HTMLRewriter();
  for (const [selector, handler] of handlers) rewriter.on(selector, handler);
  return rewriter.transform(new Response(html)).text();
};

const encoder = new TextEncoder();
const stream = (...parts) =>
  new ReadableStream({
    async pull(controller) {
      await scheduler.wait(1);
      if (parts.length === 0) controller.close();
      else controller.enqueue(typeof parts[0] === "string" ? encoder.encode(parts.shift()) : parts.shift());
    },
  });
const at = (change, html = "<p>x</p>") => rewrite(html, ["p", { element: change, comments: change }]).catch(String);
export default {
  async fetch(request, env) {
    const locked = stream("x");
    locked.getReader();
    const twice = stream("once");
    return Response.json({
      places: await at((e) => {
        e.before(stream("<1", ">"), { html: true }).after(stream("<6>")).prepend(stream("2"));
        e.append(new Response("<5>"), { html: true });
      }),
      replaced: await at((e) => e.replace(stream("a", "b", "c"))),
      inner: await at((e) => e.setInnerContent(new Response("in & out"))),
      fetched: await at(async (e) => e.setInnerContent(await fetch(`${env.ORIGIN}/pieces/3`))),
      empty: await at((e) => e.append(new Response(null))),
      split: await at((e) => e.append(stream(new Uint8Array([0xc3]), new Uint8Array([0xa9, 0xe2, 0x82]), new Uint8Array([0xac])))),
      cut: await at((e) => e.append(stream(new Uint8Array([0x61, 0xc3])))),
      invalid: await at((e) => e.append(stream(new Uint8Array([0x61, 0xff, 0x62])))),
      locked: await at((e) => e.append(locked)),
      twice: await at((e) => e.append(twice).append(twice)),
      broken: await at((e) => e.append(new ReadableStream({ pull: (c) => c.error(new RangeError("broke")) }))),
    });
  },
};
