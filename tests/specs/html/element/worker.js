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
    const seen = {};
    const html = `<P A=1 b='two' C>x</P><svg><a href="#"/></svg><br>`;
    const element = (e) => {
      seen.tag = [e.tagName, e.namespaceURI, e.removed, String(e)];
      seen.attributes = [...e.attributes];
      const iterator = e.attributes;
      seen.iterator = [iterator.next(), iterator[Symbol.iterator]() === iterator, String(iterator)];
      seen.get = [e.getAttribute("a"), e.getAttribute("B"), e.getAttribute("c"), e.getAttribute("d")];
      seen.has = [e.hasAttribute("A"), e.hasAttribute("d")];
      seen.chain = e.setAttribute("d", 'q"u<o>&t').setAttribute("E", 5).removeAttribute("a").removeAttribute("zz") === e;
      seen.badTag = ["div x", "", "1a"].map((name) => tell(() => (e.tagName = name)));
      seen.badAttribute = ["a b", "", "a="].map((name) => tell(() => e.setAttribute(name, "x")));
      seen.missing = [tell(() => e.getAttribute()), tell(() => e.setAttribute("b"))];
      e.tagName = "DIV";
      seen.renamed = e.tagName;
    };
    const text = await rewrite(html, ["p", { element }], ["svg a", { element: (e) => void (seen.svg = e.namespaceURI) }]);
    return Response.json({ ...seen, text });
  },
};
