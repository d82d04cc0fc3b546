const shown = async (run, argument) => {
  try {
    const value = await run(argument);
    return value === undefined ? "nothing" : value;
  } catch (error) {
    return `${error}`.split(". See ")[0];
  }
};
const detached = () => {
  const bytes = new Uint8Array(4);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
};
const pair = () => {
  const ends = Object.values(new WebSocketPair());
  for (const end of ends) end.accept();
  return ends;
};

const cases = {
  socketWithoutStatus: () => new Response(null, { webSocket: new WebSocketPair()[0] }),
  socketThatIsNone: () => new Response(null, { status: 101, webSocket: {} }),
  socketWithStatus: () => new Response(null, { status: 101, webSocket: new WebSocketPair()[0] }).status,
  async detachedMessage() {
    const [a, b] = pair();
    b.binaryType = "arraybuffer";
    const heard = new Promise((resolve) => b.addEventListener("message", ({ data }) => resolve(data.byteLength)));
    a.send(detached());
    return await heard;
  },
  deleteNothing: ({ KV }) => KV.delete(),
  putNothing: ({ KV }) => KV.put("key"),
  getNothing: ({ KV }) => KV.getWithMetadata(),
  unboundMatch: () => Reflect.apply(caches.default.match, undefined, ["http://a.test/"]),
  unboundPut: () => Reflect.apply(caches.default.put, {}, ["http://a.test/", new Response()]),
};

export default {
  async fetch(request, env) {
    const answers = {};
    for (const [name, run] of Object.entries(cases)) answers[name] = await shown(run, env);
    return Response.json(answers);
  },
};
