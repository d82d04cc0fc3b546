export default {
  async fetch(request, { KV, OTHER }) {
    const names = ["b/2", "a", "b/1", "é", "b/10", "Z", "c"];
    for (const name of names) await KV.put(name, name);
    const pages = [];
    let cursor;
    do {
      const page = await KV.list({ limit: 3, cursor });
      pages.push([page.keys.map(({ name }) => name), page.list_complete, typeof page.cursor]);
      cursor = page.cursor;
    } while (cursor);
    const prefix = await KV.list({ prefix: "b/", limit: 2 });
    const rest = await KV.list({ prefix: "b/", cursor: prefix.cursor });
    const none = await KV.list({ prefix: "zzz" });
    return Response.json({
      pages,
      prefix: prefix.keys.map(({ name }) => name),
      rest: rest.keys.map(({ name }) => name),
      none: [none.keys, none.list_complete],
      over: await KV.list({ limit: 1001 }).then(({ keys }) => keys.length, () => "refused"),
      zero: await KV.list({ limit: 0 }).then(() => "listed", () => "refused"),
    });
  },
};
