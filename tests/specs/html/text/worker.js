const rewrite = (html, ...handlers) => {
  const rewriter = new HTMLRewriter();
  for (const [selector, handler] of handlers) rewriter.on(selector, handler);
  return rewriter.transform(new Response(html)).text();
};

export default {
  async fetch() {
    const chunks = [];
    await rewrite("<p>a&amp;b<b>c</b>d</p>out", [
      "p",
      { text: (t) => void chunks.push([t.text, t.lastInTextNode, t.removed]) },
    ]);
    const changed = await rewrite("<p>x</p><i>y</i>", ["p", {
      text(t) {
        if (t.lastInTextNode) t.after("!");
        else t.before("<").after("<b>", { html: true }).replace(t.text.toUpperCase());
      },
    }], ["i", { text: (t) => void t.remove() }]);
    return Response.json({ chunks, changed });
  },
};
