export default {
  async fetch() {
    const url = "http://cache.test/page?a=1";
    const response = new Response("hello", {
      status: 203,
      headers: { "cache-control": "max-age=60", "content-type": "text/plain", etag: '"e"', "x-kept": "1" },
    });
    const put = caches.default.put(url, response);
    const used = response.bodyUsed;
    const nothing = await put;
    const found = await caches.default.match(url);
    let frozen;
    try {
      found.headers.set("a", "b");
    } catch (error) {
      frozen = String(error);
    }
    const headers = Object.fromEntries(found.headers);
    const date = Math.abs(Date.parse(headers.date) - Date.now()) < 60_000;
    delete headers.date;
    return Response.json({
      used,
      nothing: nothing === undefined,
      status: found.status,
      url: found.url,
      headers,
      date,
      frozen,
      body: await found.text(),
      again: await (await caches.default.match(new Request(url))).text(),
      other: (await caches.default.match("http://cache.test/page")) === undefined,
    });
  },
};
