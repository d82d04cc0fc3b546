// Now, whether it throws or rejects.
const tell = (call) => {
  try {
    return `${call()}`;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

const rewriter = () => new HTMLRewriter();
export default {
  async fetch() {
    const used = new Response("x");
    await used.text();
    return Response.json({
      tag: String(rewriter()),
      chained: rewriter().on("p", null).onDocument({}) instanceof HTMLRewriter,
      end: tell(() => rewriter().on("p:", {})),
      empty: tell(() => rewriter().on("", {})),
      combinator: tell(() => rewriter().on("a + b", {})),
      pseudo: tell(() => rewriter().on("a:hover", {})),
      nothing: tell(() => rewriter().on()),
      noHandlers: tell(() => rewriter().on("p")),
      number: tell(() => rewriter().on("p", 5)),
      noFunction: tell(() => rewriter().on("p", { element: 5 })),
      nullFunction: tell(() => rewriter().on("p", { text: null })),
      document: tell(() => rewriter().onDocument()),
      documentFunction: tell(() => rewriter().onDocument({ end: "x" })),
      transformNothing: tell(() => rewriter().transform()),
      transformText: tell(() => rewriter().transform("x")),
      transformUsed: tell(() => rewriter().transform(used)),
    });
  },
};
