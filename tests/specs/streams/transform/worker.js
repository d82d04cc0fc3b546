const rejected = (promise) => promise.then(() => "nothing", (error) => error.name);

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
export default {
  async fetch() {
    return Response.json({
      transform: await all(ReadableStream.from(["a", "b"]).pipeThrough(new TransformStream({ transform(c, t) { t.enqueue(c + c); }, flush(t) { t.enqueue("end"); } }))),
      identity: await (async () => { const { readable, writable } = new TransformStream(); const w = writable.getWriter(); const done = Promise.all([w.write("x"), w.close()]); const r = await all(readable); await done; return r; })(),
      pipe: await (async () => { const got = []; let closed = false; await ReadableStream.from([1, 2]).pipeTo(new WritableStream({ write(c) { got.push(c); }, close() { closed = true; } })); return [got, closed]; })(),
      pipeAbort: await rejected(new ReadableStream().pipeTo(new WritableStream(), { signal: AbortSignal.abort() })),
      pipeError: await (async () => { let why; const p = ReadableStream.from([1]).pipeTo(new WritableStream({ write() { throw new RangeError("full"); }, abort(r) { why = r; } })); return rejected(p); })(),
      backpressure: await (async () => { const w = new WritableStream({ write() { return new Promise(() => {}); } }, { highWaterMark: 2 }).getWriter(); const sizes = [w.desiredSize]; w.write(1); sizes.push(w.desiredSize); w.write(2); sizes.push(w.desiredSize); return sizes; })(),
      terminate: await all(ReadableStream.from(["a", "b", "c"]).pipeThrough(new TransformStream({ transform(c, t) { t.enqueue(c); if (c === "b") t.terminate(); } }))),
      text: await all(ReadableStream.from([new Uint8Array([0xe2, 0x82]), new Uint8Array([0xac])]).pipeThrough(new TextDecoderStream())),
      encode: (await all(ReadableStream.from(["é"]).pipeThrough(new TextEncoderStream()))).map((c) => [...c]),
    });
  },
};
