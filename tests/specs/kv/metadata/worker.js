export default {
  async fetch(request, { KV, OTHER }) {
    await KV.put("a", "1", { metadata: { n: 1, list: ["x"] } });
    await KV.put("b", "2");
    await KV.put("c", "3", { metadata: "text" });
    await KV.put("c", "4");
    const a = await KV.getWithMetadata("a");
    const { keys } = await KV.list();
    return Response.json({
      a: [a.value, a.metadata],
      typed: (await KV.getWithMetadata("a", "json")).value,
      b: (await KV.getWithMetadata("b")).metadata,
      c: (await KV.getWithMetadata("c")).metadata,
      missing: await KV.getWithMetadata("zzz").then(({ value, metadata }) => [value, metadata]),
      keys: keys.map(({ name, metadata }) => [name, metadata ?? null]),
      tooLong: await KV.put("d", "x", { metadata: "x".repeat(1023) }).then(() => "put", (error) => /metadata|413/i.test(error.message)),
      fits: await KV.put("d", "x", { metadata: "x".repeat(1022) }).then(() => "put", (error) => error.message),
    });
  },
};
