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
      url: [new Request("https://h.example:443/a/../b?c#d").url, new Request(new URL("https://h.example/x y")).url],
      relative: await thrown(() => new Request("/a")),
      method: [new Request("https://h.example", { method: "post" }).method, new Request("https://h.example", { method: "PATCH" }).method],
      badMethod: [await thrown(() => new Request("https://h.example", { method: "A B" })), await thrown(() => new Request("https://h.example", { method: "" }))],
      getBody: await thrown(() => new Request("https://h.example", { body: "x" })),
      redirect: [new Request("https://h.example").redirect, new Request("https://h.example", { redirect: "manual" }).redirect, await thrown(() => new Request("https://h.example", { redirect: "nope" }))],
      types: ["x", new URLSearchParams("a=b"), new Blob(["x"], { type: "t/u" }), new Uint8Array(1)].map((body) => new Request("https://h.example", { method: "POST", body }).headers.get("content-type")),
      override: new Request("https://h.example", { method: "POST", body: "x", headers: { "content-type": "a/b" } }).headers.get("content-type"),
      copied: (() => { const first = new Request("https://h.example/a", { method: "POST", headers: { x: "1" }, body: "b" }); const second = new Request(first, { headers: { y: "2" } }); return [second.method, second.url, [...second.headers].map(([name]) => name), first.bodyUsed]; })(),
      signal: (() => { const c = new AbortController(); const r = new Request("https://h.example", { signal: c.signal }); c.abort("why"); return [r.signal.aborted, r.signal.reason]; })(),
      badSignal: await thrown(() => new Request("https://h.example", { signal: {} })),
    });
  },
};
