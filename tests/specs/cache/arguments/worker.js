// What the call gives, or the error's name and message.
const tell = async (call) => {
  try {
    return await call();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

const url = "http://cache.test/";
const put = (response, request = url) => tell(() => caches.default.put(request, response));
export default {
  async fetch() {
    const used = new Response("x");
    await used.text();
    return Response.json({
      post: await put(new Response("x"), new Request(url, { method: "POST" })),
      partial: await put(new Response("x", { status: 206 })),
      varies: await put(new Response("x", { headers: { vary: "accept, *" } })),
      error: await put(Response.error()),
      used: await put(used),
      notModified: (await put(new Response(null, { status: 304 }))) === undefined,
      noResponse: await tell(() => caches.default.put(url)),
      text: await put("x"),
      matchNothing: await tell(() => caches.default.match()),
      matchNoUrl: await tell(() => caches.default.match("not a url")),
      matchPath: await tell(() => caches.default.match("/a")),
      matchFtp: await tell(() => caches.default.match("ftp://a/b")),
      deleteNoUrl: await tell(() => caches.default.delete("nope")),
      options: await tell(() => caches.default.match(url, 5)),
    });
  },
};
