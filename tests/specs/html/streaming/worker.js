export default {
  fetch(request, env) {
    const encoder = new TextEncoder();
    const pieces = ["<p>first</p>", "<p>second</p>", "<p>third</p>"];
    let piece = 0;
    const input = new ReadableStream({
      async pull(controller) {
        if (piece > 0) await fetch(`${env.ORIGIN}/gate/${piece}`);
        controller.enqueue(encoder.encode(pieces[piece]));
        piece += 1;
        if (piece === pieces.length) controller.close();
      },
    });
    const response = new Response(input, { headers: { "content-type": "text/html", "content-length": "9999" } });
    return new HTMLRewriter().on("p", { element: (e) => void e.append("!") }).transform(response);
  },
};
