const thrown = async (work) => {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
const req = (body) => new Request("https://h.example", { method: "POST", body });
export default {
  async fetch(request) {
    return Response.json({
      text: await req("h\u00e9").text(),
      bom: await req("\ufeffx").text(),
      json: await req('{"a":[1]}').json(),
      badJson: await thrown(() => req("{").json()),
      buffer: (await req("abc").arrayBuffer()).byteLength,
      bytes: [...(await req("abc").bytes())],
      blob: await (async () => { const blob = await req(new Blob(["x"], { type: "a/b" })).blob(); return [blob.type, blob.size]; })(),
      form: [...(await req(new URLSearchParams("a=1&b=2")).formData())],
      noForm: await thrown(() => req("a=1").formData()),
      twice: await (async () => { const r = req("x"); await r.text(); return [r.bodyUsed, await thrown(() => r.text()), await thrown(() => r.clone())]; })(),
      locked: await (async () => { const r = req("x"); r.body.getReader(); return [r.bodyUsed, await thrown(() => r.text())]; })(),
      clone: await (async () => { const r = req("x"); const c = r.clone(); return [await c.text(), await r.text()]; })(),
      none: await (async () => { const r = new Response(); return [r.body, await r.text(), r.bodyUsed]; })(),
      stream: await new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("s")); c.close(); } })).text(),
      badChunk: await thrown(() => new Response(new ReadableStream({ start(c) { c.enqueue(5); c.close(); } })).text()),
      errored: await thrown(() => new Response(new ReadableStream({ start(c) { c.error(new RangeError("no")); } })).text()),
    });
  },
};
