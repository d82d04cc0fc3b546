export default {
  async fetch(request, { KV, OTHER }) {
    const refused = (options) => KV.put("x", "y", options).then(() => "put", () => "refused");
    const now = Math.floor(Date.now() / 1000);
    await KV.put("ttl", "1", { expirationTtl: 3600 });
    await KV.put("at", "2", { expiration: now + 7200 });
    await KV.put("ever", "3");
    await KV.put("was", "4", { expirationTtl: 3600 });
    await KV.put("was", "4");
    const { keys } = await KV.list();
    return Response.json({
      keys: keys.map(({ name, expiration }) => [name, expiration === undefined ? null : Math.round((expiration - now) / 600) * 600]),
      value: await KV.get("ttl"),
      wrong: [
        await refused({ expirationTtl: 59 }),
        await refused({ expirationTtl: 0 }),
        await refused({ expirationTtl: -1 }),
        await refused({ expiration: now - 10 }),
        await refused({ expiration: now + 10 }),
        await refused({ expirationTtl: 60 }),
      ],
    });
  },
};
