export default {
  async fetch(request, { KV, OTHER }) {
    await KV.put("a", "1", { metadata: { m: 1 } });
    await KV.put("b", "2");
    const plain = await KV.get(["a", "b", "none"]);
    const typed = await KV.get(["a"], "json");
    const withMetadata = await KV.getWithMetadata(["a", "none"]);
    const many = (count) => KV.get(Array.from({ length: count }, (_, index) => `k${index}`));
    return Response.json({
      map: plain instanceof Map,
      plain: [...plain],
      typed: [...typed],
      withMetadata: [...withMetadata].map(([key, entry]) => [key, entry?.value ?? null, entry?.metadata ?? null]),
      hundred: (await many(100)).size,
      more: await many(101).then(() => "got", () => "refused"),
      buffers: await KV.get(["a"], "arrayBuffer").then(() => "got", () => "refused"),
    });
  },
};
