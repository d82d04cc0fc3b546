const url = "http://cache.test/";
const ask = async (headers) => {
  const found = await caches.default.match(new Request(url, { headers }));
  return [found.status, found.headers.get("etag"), await found.text()];
};
export default {
  async fetch() {
    const headers = { "cache-control": "max-age=60", etag: '"abc"', "last-modified": "Tue, 15 Nov 1994 12:45:26 GMT" };
    await caches.default.put(url, new Response("body", { headers }));
    return Response.json({
      same: await ask({ "if-none-match": '"abc"' }),
      weak: await ask({ "if-none-match": 'W/"abc"' }),
      list: await ask({ "if-none-match": '"x", "abc"' }),
      any: await ask({ "if-none-match": "*" }),
      other: await ask({ "if-none-match": '"x"' }),
      since: await ask({ "if-modified-since": "Tue, 15 Nov 1994 12:45:26 GMT" }),
      later: await ask({ "if-modified-since": "Tue, 15 Nov 2022 12:45:26 GMT" }),
      earlier: await ask({ "if-modified-since": "Mon, 15 Nov 1993 12:45:26 GMT" }),
    });
  },
};
