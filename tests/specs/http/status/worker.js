const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.constructor.name;
  }
};
export default {
  fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/201":
        return new Response("made", { status: 201, statusText: "Made" });
      case "/204":
        return new Response(null, { status: 204 });
      case "/304":
        return new Response(null, { status: 304, headers: { etag: '"e"' } });
      case "/599":
        return new Response("edge", { status: 599 });
      case "/redirect":
        return Response.redirect("http://example.com/there?x=1", 307);
      case "/json":
        return Response.json({ a: [1, null] }, { status: 418, headers: { "x-y": "z" } });
      case "/wrong":
        return Response.json([
          thrown(() => new Response("", { status: 199 })),
          thrown(() => new Response("", { status: 600 })),
          thrown(() => Response.redirect("http://example.com/", 200)),
          thrown(() => new Response("body", { status: 204 })),
        ]);
    }
  },
};
