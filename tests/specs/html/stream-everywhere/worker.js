const rewrite = (html, ...handlers) => {
  const rewriter = new HTMLRewriter();
  for (const [selector, handler] of handlers) rewriter.on(selector, handler);
  return rewriter.transform(new Response(html)).text();
};

const stream = (text) => new Response(text).body;
export default {
  async fetch() {
    const end = await new HTMLRewriter().onDocument({ end: (e) => e.append(stream("x")) })
      .transform(new Response("<p></p>")).text().catch(String);
    return Response.json([
      await rewrite("<p><!--c--></p>", ["p", { comments: (c) => c.before(stream("<1>")).replace(stream("2"), { html: true }) }]),
      await rewrite("<p>t</p>", ["p", { text: (t) => t.lastInTextNode && t.after(stream("3")) }]),
      end,
    ]);
  },
};
