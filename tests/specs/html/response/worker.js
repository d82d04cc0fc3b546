const rewrite = (html, ...handlers) => {
  const rewriter = new HTMLRewriter();
  for (const [selector, handler] of handlers) rewriter.on(selector, handler);
  return rewriter.transform(new Response(html)).text();
};

export default {
  async fetch() {
    const input = new Response("<p>x</p>", { status: 201, statusText: "Mine", headers: { etag: "a", "x-b": "1" } });
    const output = new HTMLRewriter().transform(input);
    const empty = new Response(null, { status: 204 });
    output.headers.set("x-c", "2");
    return Response.json({
      fresh: output !== input,
      used: [input.bodyUsed, output.bodyUsed],
      head: [output.status, output.statusText, Object.fromEntries(output.headers), output.url],
      text: await output.text(),
      empty: new HTMLRewriter().on("p", {}).transform(empty) === empty,
    });
  },
};
