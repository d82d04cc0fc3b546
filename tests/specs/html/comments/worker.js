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
    const seen = [];
    const html = "<p><!--one--><!-- two --><!--three--><!--four--></p><!--outside-->";
    const text = await rewrite(html, ["p", {
      comments(c) {
        seen.push(c.text, String(c));
        if (c.text === "one") c.text = "ONE";
        else if (c.text === " two ") seen.push(c.before("[").after("]").removed);
        else if (c.text === "three") seen.push(c.replace("<b>", { html: true }).removed);
        else {
          seen.push(tell(() => (c.text = "a-->b")));
          c.remove();
        }
      },
    }]);
    return Response.json({ seen, text });
  },
};
