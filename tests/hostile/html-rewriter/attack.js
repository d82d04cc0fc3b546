export default function attack() {
  const page = new ReadableStream({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode("<div class=x>".repeat(5000)));
    },
  });
  const handler = {
    element(element) {
      element.setAttribute("y", "z".repeat(1000));
      element.append("<b>".repeat(100), { html: true });
    },
    text() {},
  };
  let rewriter = new HTMLRewriter();
  for (let i = 0; i < 50; i++) rewriter = rewriter.on("div > div .x:not(.y)", handler);
  return rewriter.transform(new Response(page)).text().then((text) => new Response(String(text.length)));
}
