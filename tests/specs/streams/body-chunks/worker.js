const stream = (...chunks) => new ReadableStream({
  start(controller) {
    for (const chunk of chunks) controller.enqueue(chunk);
    controller.close();
  },
});
const chunks = () => [
  new Uint8Array([0x61]).buffer, new Uint16Array([0x6262]), new DataView(new Uint8Array([0x78, 0x63, 0x79]).buffer, 1, 1), new Uint8Array(0),
];

async function tried(act) {
  try {
    return await act();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/sent") return new Response(stream(...chunks()));
    await env.KV.put("key", stream(...chunks()));
    const post = () => new Request("http://a.test", { method: "POST", body: stream(...chunks()) });
    return Response.json([
      await new Response(stream(...chunks())).text(),
      (await post().arrayBuffer()).byteLength,
      await (await post().blob()).text(),
      await env.KV.get("key"),
      await new Response(stream()).text(),
      await tried(() => new Response(stream("text")).text()),
      await tried(() => new Response(stream(5)).bytes()),
    ]);
  },
};
