// What the clients of the campaign ask for. Answers say enough to be checked.
const encoder = new TextEncoder();

export default {
  async fetch(request) {
    const url = new URL(request.url);
    const n = Number(url.searchParams.get("n"));
    switch (url.pathname) {
      case "/hello":
        return new Response(`hello ${n}`);
      case "/stream": {
        let piece = 0;
        return new Response(
          new ReadableStream({
            async pull(controller) {
              if (piece === n) return controller.close();
              controller.enqueue(encoder.encode(`piece ${piece};`));
              piece += 1;
              if (piece % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
            },
          }),
        );
      }
      case "/echo":
        return new Response(request.body);
      case "/socket": {
        const [ours, theirs] = Object.values(new WebSocketPair());
        ours.accept();
        ours.addEventListener("message", (event) => ours.send(event.data));
        return new Response(null, { status: 101, webSocket: theirs });
      }
    }
    return new Response("not found", { status: 404 });
  },
};
