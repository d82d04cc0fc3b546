export default {
  fetch(request, env) {
    const encoder = new TextEncoder();
    const words = ["first;", "second;", "third;"];
    let piece = 0;
    const body = new ReadableStream({
      async pull(controller) {
        if (piece > 0) await fetch(`${env.ORIGIN}/gate/${piece}`);
        controller.enqueue(encoder.encode(`<p>${words[piece]}`));
        piece += 1;
        if (piece === words.length) controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "text/html" } });
  },
};
