// 100 KB of HTML in 25 pieces of 4 KiB, each encoded when it is pulled.
const PIECES = 25;
const row = "<tr><td>streamed</td><td>row of the page</td></tr>\n";
const piece = row.repeat(Math.ceil(4096 / row.length)).slice(0, 4096);
const encoder = new TextEncoder();
export default {
  fetch() {
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(encoder.encode(piece));
        sent += 1;
        if (sent === PIECES) controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "text/html" } });
  },
};
