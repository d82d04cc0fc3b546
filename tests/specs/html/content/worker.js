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

const at = (change, html = "<p>x</p>") => rewrite(html, ["p", { element: change }]);
export default {
  async fetch() {
    const refused = [];
    const both = await at((e) => {
      refused.push(tell(() => e.before()), tell(() => e.before("<b>", "x")));
    });
    return Response.json({
      around: await at((e) => e.before("<1>").before("<2>", { html: true }).after("3").after("4")),
      inside: await at((e) => e.prepend("1").prepend("2").append("3").append("4")),
      escaped: await at((e) => e.append("<&>", { html: false }).append("<i>", null).append("<b>", { html: 1 })),
      inner: await at((e) => e.setInnerContent("<b>", { html: true }).append("A").prepend("P")),
      replaced: await at((e) => e.replace("1").replace("<2>", { html: true })),
      removed: await at((e) => e.remove()),
      unwrapped: await at((e) => e.removeAndKeepContent(), "<p>a<b>c</b></p>"),
      void: await rewrite("<br>", ["br", { element: (e) => void e.after("x").append("y") }]),
      values: await at((e) => e.append(5).append(null).append(undefined).append({})),
      flags: await at((e) => e.append(`${e.removed}`).replace(`${e.remove().removed}`)),
      refused,
      both,
    });
  },
};
