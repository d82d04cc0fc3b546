const rejected = (promise) => promise.then(() => "nothing", (error) => error.name);

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
export default {
  async fetch() {
    return Response.json({
      iterate: await all(ReadableStream.from(["a", "b"])),
      tee: await (async () => { const [x, y] = ReadableStream.from([1, 2]).tee(); return [await all(x), await all(y)]; })(),
      cancel: await (async () => { let why; const s = new ReadableStream({ cancel(reason) { why = reason; } }); await s.cancel("done"); return why; })(),
      breaks: await (async () => { let canceled = false; const s = new ReadableStream({ pull(c) { c.enqueue(1); }, cancel() { canceled = true; } }); for await (const _ of s) break; return canceled; })(),
      error: await rejected(all(new ReadableStream({ start(c) { c.enqueue(1); c.error(new RangeError("x")); } }))),
      locked: (() => { const s = new ReadableStream(); s.getReader(); try { s.getReader(); } catch (e) { return [s.locked, e.name]; } })(),
      desired: (() => { let sizes = []; new ReadableStream({ start(c) { sizes.push(c.desiredSize); c.enqueue("abc"); sizes.push(c.desiredSize); } }, new CountQueuingStrategy({ highWaterMark: 3 })); return sizes; })(),
      byob: await (async () => { const s = new ReadableStream({ type: "bytes", start(c) { c.enqueue(new Uint8Array([1, 2, 3])); c.close(); } }); const r = s.getReader({ mode: "byob" }); const { value, done } = await r.read(new Uint8Array(2)); return [[...value], done]; })(),
      closed: await (async () => { const s = new ReadableStream({ start(c) { c.close(); } }); const r = s.getReader(); await r.closed; return (await r.read()).done; })(),
      release: await (async () => { const s = ReadableStream.from([1, 2]); const r = s.getReader(); const first = (await r.read()).value; r.releaseLock(); return [first, await all(s)]; })(),
    });
  },
};
