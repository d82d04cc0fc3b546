const rewrite = (html, ...handlers) => {
  const rewriter = new HTMLRewriter();
  for (const [selector, handler] of handlers) rewriter.on(selector, handler);
  return rewriter.transform(new Response(html)).text();
};

export default {
  async fetch(request, env) {
    const order = [];
    const awaited = await rewrite("<p>1</p><p>2</p>", ["p", {
      async element(e) {
        order.push(`begin ${order.length}`);
        await scheduler.wait(5);
        e.append("A");
        order.push(`end ${order.length}`);
      },
      text: async (t) => void (t.text && order.push(t.text)),
    }]);
    const thenable = await rewrite("<p>x</p>", ["p", {
      element: (e) => ({
        then(resolve) {
          e.before("T");
          resolve();
        },
      }),
    }]);
    const fetched = await rewrite("<p>x</p>", ["p", {
      async element(e) {
        const response = await fetch(`${env.ORIGIN}/pieces/2`);
        e.setInnerContent(await response.text());
      },
    }]);
    const nested = await rewrite("<p></p>", ["p", {
      async element(e) {
        e.append(await rewrite("<i></i>", ["i", { element: (i) => void i.replace("inner") }]));
      },
    }]);
    let open;
    const gate = new Promise((resolve) => (open = resolve));
    const side = await Promise.all([
      rewrite("<p></p>", ["p", { element: async (e) => (await gate, void e.append("first")) }]),
      rewrite("<p></p>", ["p", { element: async (e) => (open(), void e.append("second")) }]),
    ]);
    return Response.json({ order, awaited, thenable, fetched, nested, side });
  },
};
