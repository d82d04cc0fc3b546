const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch() {
    const plain = new Request("http://example.com/a");
    const put = new Request("http://example.com/a", { method: "PUT", body: "copied", headers: { x: "1" } });
    const copy = new Request(put);
    const response = new Response();
    return Response.json({
      plain: [plain.method, plain.url, plain.redirect, plain.body === null, plain.bodyUsed],
      lower: new Request("http://example.com/", { method: "post" }).method,
      copy: [copy.method, copy.url, copy.headers.get("x"), await copy.text()],
      moved: put.bodyUsed,
      types: ["text", new URLSearchParams("a=b"), new Blob(["x"], { type: "text/x" }), new Uint8Array(1)].map((body) =>
        new Response(body).headers.get("content-type"),
      ),
      response: [response.status, response.statusText, response.ok, response.type, response.redirected, response.url],
      errors: [
        thrown(() => new Request("not a url")),
        thrown(() => new Request("http://example.com/", { body: "x" })),
        thrown(() => new Request("http://example.com/", { method: "a b" })),
      ],
      error: [Response.error().type, Response.error().status],
    });
  },
};
