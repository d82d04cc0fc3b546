// The events that a stream of these pieces gives, until it ends.
const events = (...pieces) =>
  new Promise((resolve) => {
    const encoder = new TextEncoder();
    const stream = new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
        controller.close();
      },
    });
    const source = EventSource.from(stream);
    const seen = [];
    for (const type of ["message", "custom", "a b"]) {
      source.addEventListener(type, (event) => seen.push([event.type, event.data, event.lastEventId]));
    }
    source.onerror = () => resolve(seen);
  });

export default {
  async fetch() {
    return Response.json({
      emptyData: await events("data\n\ndata:\n\n"),
      nul: await events("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n"),
      cut: await events(new Uint8Array([0x64, 0x61, 0x74, 0x61, 0x3a, 0xe2]), new Uint8Array([0x82]), new Uint8Array([0xac, 10, 10])),
      crlf: await events("data: a\r", "\ndata: b\r", "\n\r", "\n"),
    });
  },
};
