export default {
  async fetch() {
    const form = new FormData();
    form.append("a\nb", "x\ny");
    form.append("q\"", "\u00e9");
    form.append("f", new Blob(["line\nline"], { type: "text/plain" }), 'n\n".txt');
    form.append("g", new Blob([new Uint8Array([0, 255])]), "raw");
    const sent = new Request("https://h.example", { method: "POST", body: form });
    const boundary = sent.headers.get("content-type").split("boundary=")[1].replaceAll('"', "");
    return Response.json({
      type: sent.headers.get("content-type").replace(/boundary=.+/, "boundary="),
      body: (await sent.clone().text()).replaceAll(boundary, "B"),
      back: await Promise.all([...(await sent.clone().formData())].map(async ([name, value]) => [name, typeof value === "string" ? value : [value.name, value.type, await value.text()]])),
    });
  },
};
