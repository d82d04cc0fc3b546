const thrown = async (work) => {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch(request) {
    return Response.json({
      plain: (({ status, statusText, ok, type, redirected, url }) => [status, statusText, ok, redirected, url])(new Response("x")),
      status: [new Response(null, { status: 204 }).status, new Response("x", { status: 599 }).status],
      badStatus: [await thrown(() => new Response("x", { status: 199 })), await thrown(() => new Response("x", { status: 600 }))],
      nullBody: [await thrown(() => new Response("x", { status: 204 })), await thrown(() => new Response("x", { status: 304 }))],
      statusText: [new Response("", { statusText: "Fine" }).statusText, await thrown(() => new Response("", { statusText: "a\nb" }))],
      json: await (async () => { const r = Response.json({ a: 1 }, { status: 201, headers: { x: "y" } }); return [r.status, r.headers.get("content-type"), r.headers.get("x"), await r.text()]; })(),
      jsonType: Response.json(1, { headers: { "content-type": "a/b" } }).headers.get("content-type"),
      badJson: [await thrown(() => Response.json(1n)), await thrown(() => Response.json(undefined)), await thrown(() => Response.json(Symbol()))],
      redirect: (() => { const r = Response.redirect("https://h.example/a b"); return [r.status, r.headers.get("location")]; })(),
      redirects: [301, 303, 307, 308].map((status) => Response.redirect("https://h.example/", status).status),
      badRedirect: [await thrown(() => Response.redirect("https://h.example", 200)), await thrown(() => Response.redirect("nonsense"))],
      error: (({ type, status }) => [type, status])(Response.error()),
      clone: await (async () => { const r = new Response("x", { status: 201 }); const c = r.clone(); return [c.status, await c.text(), await r.text()]; })(),
      types: ["x", new Blob(["x"]), new Uint8Array(1), new URLSearchParams("a=b"), null].map((body) => new Response(body).headers.get("content-type")),
    });
  },
};
