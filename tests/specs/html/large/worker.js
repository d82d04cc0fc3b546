const encoder = new TextEncoder();
const repeat = (text, times) =>
  new ReadableStream({
    pull(controller) {
      if (times-- > 0) controller.enqueue(encoder.encode(text));
      else controller.close();
    },
  });
export default {
  async fetch() {
    let elements = 0;
    let characters = 0;
    const piece = "<li class=item>some text</li>".repeat(100);
    const response = new HTMLRewriter()
      .on("li.item", {
        element(e) {
          elements++;
          e.setAttribute("data-n", elements);
        },
        text: (t) => void (characters += t.text.length),
      })
      .transform(new Response(repeat(piece, 200)));
    const text = await response.text();
    const limited = new HTMLRewriter().on("p", { element() {} })
      .transform(new Response(repeat("<p " + "a".repeat(1024 * 1024), 8)));
    return Response.json({
      elements,
      characters,
      last: text.endsWith('<li class=item data-n="20000">some text</li>'),
      limited: await limited.text().catch((error) => `${error.name}: ${error.message}`),
    });
  },
};
