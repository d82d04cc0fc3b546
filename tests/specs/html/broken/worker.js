const encoder = new TextEncoder();
export default {
  async fetch() {
    const pieces = ["<p>one</p>", "<b>two</b>", "<p>three</p>"];
    const input = new ReadableStream({
      async pull(controller) {
        await scheduler.wait(20);
        if (pieces.length === 0) controller.close();
        else controller.enqueue(encoder.encode(pieces.shift()));
      },
    });
    return new HTMLRewriter().on("b", {
      element() {
        throw new Error("no b is wanted");
      },
    }).transform(new Response(input));
  },
};
