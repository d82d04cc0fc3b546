const tried = async (act) => {
  try {
    return await act();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
const bytes = (...values) => new Uint8Array(values);
const shown = ({ value, done }) => [value === undefined ? null : [...value], done];
const reader = (stream) => stream.getReader({ mode: "byob" });

const routes = {
  async identity() {
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const given = bytes(1, 2, 3, 4, 5);
    let written = false;
    const write = writer.write(given).then(() => written = true);
    const byob = reader(readable);
    const first = shown(await byob.read(new Uint8Array(3)));
    const early = written;
    const rest = shown(await byob.read(new Uint8Array(3)));
    await write;
    const closed = writer.close();
    const last = await byob.read(new Uint8Array(3));
    await closed;
    return { first, early, rest, last: [last.value.byteLength, last.done], kept: given.byteLength };
  },
  async fixed() {
    const { readable, writable } = new FixedLengthStream(3);
    const writer = writable.getWriter();
    writer.write(bytes(7, 8, 9));
    writer.close();
    return [shown(await reader(readable).read(new Uint8Array(8))), readable instanceof ReadableStream];
  },
  async atLeast() {
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const write = (async () => {
      for (const chunk of [bytes(1, 2), bytes(3, 4, 5), bytes(6, 7)]) await writer.write(chunk);
      await writer.close();
    })();
    const byob = reader(readable);
    const out = [];
    for (let turn = 0; turn < 3; turn++) out.push(shown(await byob.readAtLeast(3, new Uint8Array(5))));
    await write;
    return out;
  },
  async atLeastErrors() {
    const byob = () => reader(new IdentityTransformStream().readable);
    return [
      await tried(() => byob().readAtLeast(0, new Uint8Array(4))),
      await tried(() => byob().readAtLeast(5, new Uint8Array(4))),
      await tried(() => byob().readAtLeast()),
    ];
  },
  async asked() {
    const seen = [];
    const stream = new ReadableStream({
      type: "bytes",
      pull({ byobRequest }) {
        seen.push(byobRequest.atLeast);
        byobRequest.view[0] = 7;
        byobRequest.respond(1);
      },
    });
    return [shown(await reader(stream).readAtLeast(3, new Uint8Array(4))), seen];
  },
  async room() {
    const plain = new IdentityTransformStream().writable.getWriter();
    const { writable } = new IdentityTransformStream({ highWaterMark: 10 });
    const writer = writable.getWriter();
    const before = writer.desiredSize;
    writer.write(bytes(1, 2, 3, 4)).catch(() => {});
    return [plain.desiredSize, before, writer.desiredSize, await tried(() => new IdentityTransformStream({ highWaterMark: -1 }))];
  },
  async ends() {
    const wrong = new IdentityTransformStream().writable.getWriter();
    const canceled = new IdentityTransformStream();
    const writer = canceled.writable.getWriter();
    const write = tried(() => writer.write(bytes(1)));
    await canceled.readable.cancel(new RangeError("enough"));
    const aborted = new IdentityTransformStream();
    const left = aborted.writable.getWriter();
    const pending = tried(() => left.write(bytes(1)));
    await left.abort(new RangeError("why"));
    return [await tried(() => wrong.write({})), await write, await pending];
  },
  async bodies() {
    const first = async (body) => new TextDecoder().decode((await reader(body).read(new Uint8Array(3))).value);
    const [one, two] = new Response("hello").body.tee();
    return [
      await first(new Response("hello").body),
      await first(new Request("http://a.test", { method: "POST", body: "hello" }).body),
      await first(new Blob(["hello"]).stream()),
      await first(one),
      await new Response(two).text(),
      (await new Response(new Response("x".repeat(200_000)).body.pipeThrough(new FixedLengthStream(200_000))).text()).length,
    ];
  },
  classes: () => [
    new FixedLengthStream(1) instanceof IdentityTransformStream,
    new IdentityTransformStream() instanceof TransformStream,
    `${new FixedLengthStream(1)}`,
    `${new IdentityTransformStream()}`,
  ],
};

export default {
  async fetch(request) {
    return Response.json(await routes[new URL(request.url).pathname.slice(1)]());
  },
};
