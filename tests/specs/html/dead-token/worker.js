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

export default {
  async fetch() {
    const kept = {};
    const keep = (name) => (token) => void (kept[name] ??= token);
    const html = "<!doctype html><p a=1>t<!--c--></p>";
    await new HTMLRewriter()
      .on("p", {
        element(e) {
          kept.element = e;
          kept.attributes = e.attributes;
          e.onEndTag(keep("endTag"));
        },
        text: keep("text"),
        comments: keep("comment"),
      })
      .onDocument({ doctype: keep("doctype"), end: keep("end") })
      .transform(new Response(html))
      .text();
    let late;
    const unawaited = await rewrite("<p>x</p>", ["p", {
      element(e) {
        late = scheduler.wait(1).then(() => tell(() => e.append("late")));
      },
    }]);
    const dead = [
      () => kept.element.tagName,
      () => (kept.element.tagName = "b"),
      () => kept.element.before("x"),
      () => kept.element.onEndTag(() => {}),
      () => kept.attributes.next(),
      () => kept.endTag.name,
      () => kept.text.text,
      () => kept.comment.remove(),
      () => kept.doctype.name,
      () => kept.end.append("x"),
    ].map(tell);
    return Response.json({ messages: [...new Set([...dead, await late])], count: dead.length, unawaited });
  },
};
