export default {
  async fetch(request, { KV, OTHER }) {
    await KV.put("text", "é€");
    await KV.put("json", JSON.stringify({ a: [1] }));
    await KV.put("buffer", new Uint8Array([0, 255]).buffer);
    await KV.put("view", new Uint8Array([9, 1, 2, 9]).subarray(1, 3));
    await KV.put("stream", new Blob(["stre", "amed"]).stream());
    await KV.put("gone", "x");
    await KV.delete("gone");
    await KV.delete("never was");
    await KV.put("twice", "1");
    await KV.put("twice", "2");
    await OTHER.put("text", "other");
    return Response.json({
      text: await KV.get("text"),
      json: await KV.get("json", "json"),
      options: await KV.get("json", { type: "json" }),
      buffer: [...new Uint8Array(await KV.get("buffer", "arrayBuffer"))],
      view: [...new Uint8Array(await KV.get("view", { type: "arrayBuffer" }))],
      stream: await new Response(await KV.get("stream", "stream")).text(),
      missing: [await KV.get("nope"), await KV.get("nope", "json"), await KV.get("nope", "stream")],
      gone: await KV.get("gone"),
      twice: await KV.get("twice"),
      other: await OTHER.get("text"),
      badJson: await KV.get("text", "json").then(() => "nothing", (error) => error.name),
    });
  },
};
