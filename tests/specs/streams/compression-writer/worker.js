const thrown = async (work) => {
  try {
    return await work();
  } catch (error) {
    return `${error}`;
  }
};
const random = (length) => {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) crypto.getRandomValues(bytes.subarray(at, Math.min(length, at + 65536)));
  return bytes;
};
const encode = (text) => new TextEncoder().encode(text);
const unpack = (stream) => new Response(stream.pipeThrough(new DecompressionStream("gzip")));

const cases = {
  async written() {
    const { readable, writable } = new CompressionStream("gzip");
    const writer = writable.getWriter();
    await writer.write(encode("hello, "));
    await writer.write(encode("hello"));
    await writer.close();
    return await unpack(readable).text();
  },
  async large() {
    const { readable, writable } = new CompressionStream("gzip");
    const writer = writable.getWriter();
    const bytes = random(1 << 20);
    for (let round = 0; round < 8; round++) await writer.write(bytes);
    await writer.close();
    return (await unpack(readable).bytes()).length === 8 << 20;
  },
  async text() {
    const { readable, writable } = new CompressionStream("gzip");
    const writer = writable.getWriter();
    await writer.write("sch\u00f6n");
    await writer.close();
    return await unpack(readable).text();
  },
  async garbage() {
    const writer = new DecompressionStream("gzip").writable.getWriter();
    writer.closed.catch(() => {});
    return await writer.write(new Uint8Array([1, 2, 3, 4])).catch((error) => error.name);
  },
  async cut() {
    const packed = await new Response(new Blob(["hello"]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
    const writer = new DecompressionStream("gzip").writable.getWriter();
    writer.closed.catch(() => {});
    await writer.write(packed.subarray(0, 12));
    await writer.close();
  },
  async number() {
    const writer = new CompressionStream("gzip").writable.getWriter();
    writer.closed.catch(() => {});
    await writer.write(5);
  },
  async byob() {
    const { readable, writable } = new CompressionStream("gzip");
    const reader = readable.getReader({ mode: "byob" });
    const reading = reader.read(new Uint8Array(4));
    const writer = writable.getWriter();
    writer.write(encode("hello")).catch(() => {});
    writer.close().catch(() => {});
    return [...(await reading).value];
  },
  async byobEnd() {
    const { readable, writable } = new CompressionStream("deflate");
    const reader = readable.getReader({ mode: "byob" });
    const writer = writable.getWriter();
    await writer.close();
    let read;
    do read = await reader.read(new Uint8Array(64)); while (!read.done);
    return { done: read.done, length: read.value.length };
  },
  async cancelled() {
    const { readable, writable } = new CompressionStream("gzip");
    await readable.cancel(new Error("enough"));
    return await writable.getWriter().write(encode("x")).then(() => "written", () => "rejected");
  },
  async aborted() {
    const { readable, writable } = new CompressionStream("gzip");
    const writer = writable.getWriter();
    writer.closed.catch(() => {});
    await writer.abort(new Error("why"));
    await readable.getReader().read();
  },
  async brotli() {
    return [await thrown(() => new CompressionStream("brotli")), await thrown(() => new DecompressionStream("brotli"))];
  },
  // A reader that is there, and slower than the writer, gets everything.
  async slow() {
    const { readable, writable } = new CompressionStream("gzip");
    const bytes = random(1 << 20);
    const writing = (async () => {
      const writer = writable.getWriter();
      for (let round = 0; round < 4; round++) await writer.write(bytes);
      await writer.close();
    })();
    let length = 0;
    for await (const chunk of readable.pipeThrough(new DecompressionStream("gzip"))) {
      await scheduler.wait(0);
      length += chunk.byteLength;
    }
    await writing;
    return length === 4 << 20;
  },
  async transform() {
    return new CompressionStream("gzip") instanceof TransformStream && new DecompressionStream("gzip") instanceof TransformStream;
  },
};

export default {
  async fetch() {
    const entries = Object.entries(cases).map(async ([name, run]) => [name, await thrown(run)]);
    return Response.json(Object.fromEntries(await Promise.all(entries)));
  },
};
