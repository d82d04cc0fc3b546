const rewrite = (html, ...handlers) => {
  const rewriter = new HTMLRewriter();
  for (const [selector, handler] of handlers) rewriter.on(selector, handler);
  return rewriter.transform(new Response(html)).text();
};

// Now, whether it throws or rejects.
const tell = (call) => {
  try {
    return `${call()}`;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

const at = (change, html = "<p>x</p>") => rewrite(html, ["p, br", { element: change }]);
export default {
  async fetch() {
    const seen = [];
    const changed = await at((e) => e.onEndTag((t) => {
      seen.push(t.name, String(t), t.before("B").after("<A>", { html: true }) === t);
      t.name = `${t.name}q`;
    }));
    const last = await at((e) => {
      e.onEndTag((t) => void t.before("1"));
      e.onEndTag((t) => void t.before("2"));
    });
    const removed = await at((e) => e.onEndTag((t) => void t.remove()));
    const later = await at((e) => e.onEndTag(async (t) => {
      await scheduler.wait(1);
      t.before("later");
    }));
    const nested = await at((e) => e.onEndTag((t) => void t.before(e === t ? "same" : "E")), "<p>1<div><p>2</p></div></p>");
    const refused = [];
    await at((e) => void refused.push(tell(() => e.onEndTag()), tell(() => e.onEndTag(5)), tell(() => e.onEndTag(() => {}))), "<br>");
    const thrown = await at((e) => e.onEndTag(() => {
      throw new RangeError("at the end");
    })).catch(String);
    return Response.json({ seen, changed, last, removed, later, nested, refused, thrown });
  },
};
