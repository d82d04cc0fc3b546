const rewrite = (html, ...handlers) => {
  const rewriter = new HTMLRewriter();
  for (const [selector, handler] of handlers) rewriter.on(selector, handler);
  return rewriter.transform(new Response(html)).text();
};

const failing = (handler, kind = "element") => rewrite("<p>x<!--c--></p><p>y</p>", ["p", { [kind]: handler }]).catch(String);
export default {
  async fetch(request) {
    let calls = 0;
    let reason = null;
    const input = new ReadableStream({
      pull(controller) {
        controller.enqueue(new TextEncoder().encode("<p>x</p>"));
      },
      cancel(error) {
        reason = String(error);
      },
    });
    const output = new HTMLRewriter().on("p", {
      element() {
        if (++calls === 2) throw new RangeError("enough");
      },
    }).transform(new Response(input));
    const gaveUp = await output.text().catch(String);
    return Response.json({
      sync: await failing(() => {
        throw new RangeError("boom");
      }),
      rejected: await failing(async () => {
        await scheduler.wait(1);
        throw new RangeError("later");
      }),
      text: await failing(() => {
        throw new RangeError("text");
      }, "text"),
      comment: await failing(() => {
        throw new RangeError("comment");
      }, "comments"),
      gaveUp,
      calls,
      reason,
    });
  },
};
