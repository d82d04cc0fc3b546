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

const streams = {
  one: ["data: a\n\n"],
  lines: ["data: a\ndata:b\ndata:  c\n\n"],
  crlf: ["data: a\r\n\r\ndata: b\r\rdata: c\n\n"],
  bom: ["\ufeffdata: a\n\n"],
  comments: [": x\n:data: y\ndata: a\n\n"],
  fields: ["data\ndata: a\nunknown: x\nDATA: y\n data: z\n\n"],
  type: ["event: custom\ndata: a\n\ndata: b\n\n"],
  typeTwice: ["event: x\nevent: a b\ndata: a\n\n"],
  id: ["id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n"],
  noData: ["event: custom\n\ndata: a\n\n"],
  idAlone: ["id: 7\n\ndata: a\n\n"],
  unfinished: ["data: a\n\ndata: b\n"],
  colons: ["data: a: b\n\n"],
  split: ["da", "ta: a", "\n", "\ndata: b\r", "\n\r\n"],
};
export default {
  async fetch() {
    const found = {};
    for (const [name, pieces] of Object.entries(streams)) found[name] = await events(...pieces);
    return Response.json(found);
  },
};
