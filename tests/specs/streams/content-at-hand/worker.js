const decoder = new TextDecoder();

async function name(act) {
  try {
    return await act();
  } catch (error) {
    return error.name;
  }
}

async function read(stream) {
  const reader = stream.getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return text;
    text += decoder.decode(value);
  }
}

const CASES = {
  "/carried"() {
    const first = new Response('{"a":"é"}', { status: 201, headers: { "content-type": "application/json" } });
    const second = new Response(first.body, first);
    second.headers.set("x-added", "yes");
    return second;
  },
  "/carried-twice"() {
    const second = new Response(new Response("text").body);
    return new Response(second.body, second);
  },
  async "/carried-and-read"() {
    const first = new Response("text");
    const second = new Response(first.body);
    const text = await second.text();
    return Response.json([text, first.bodyUsed, second.bodyUsed, await name(() => first.text())]);
  },
  "/came"(request) {
    return new Response(request.body);
  },
  async "/read"() {
    const response = new Response("té");
    const reader = response.body.getReader();
    const { value } = await reader.read();
    const end = await reader.read();
    await reader.closed;
    return Response.json([decoder.decode(value), `${end.value}`, end.done, response.bodyUsed]);
  },
  async "/iterated"() {
    const response = new Response(new Uint8Array([116, 101, 120, 116]));
    let text = "";
    for await (const chunk of response.body) text += decoder.decode(chunk);
    return Response.json([text, response.bodyUsed]);
  },
  async "/byob"() {
    const reader = new Response("bytes").body.getReader({ mode: "byob" });
    const first = await reader.read(new Uint8Array(2));
    const second = await reader.read(new Uint8Array(9));
    return Response.json([decoder.decode(first.value), decoder.decode(second.value)]);
  },
  async "/teed"() {
    const response = new Response("text");
    const [one, other] = response.body.tee();
    return Response.json([await read(one), await read(other), response.body.locked]);
  },
  async "/cloned"() {
    const response = new Response("text");
    response.body;
    const copy = response.clone();
    return Response.json([await copy.text(), await response.text()]);
  },
  async "/piped"() {
    const response = new Response("text");
    const upper = new TransformStream({
      transform(chunk, controller) {
        controller.enqueue(new TextEncoder().encode(decoder.decode(chunk).toUpperCase()));
      },
    });
    return Response.json([await read(response.body.pipeThrough(upper)), response.bodyUsed]);
  },
  async "/canceled"() {
    const response = new Response("text");
    await response.body.cancel("not wanted");
    const reader = response.body.getReader();
    return Response.json([(await reader.read()).done, response.bodyUsed, await name(() => response.text())]);
  },
  async "/locked"() {
    const response = new Response("text");
    const { body } = response;
    const reader = body.getReader();
    const locked = body.locked;
    const refused = await name(() => new Response(body));
    reader.releaseLock();
    return Response.json([refused, locked, body.locked, await new Response(body).text()]);
  },
  async "/empty"() {
    const response = new Response("");
    return Response.json([await read(response.body), response.bodyUsed]);
  },
  "/shape"() {
    const { body } = new Response("text");
    return Response.json([
      body instanceof ReadableStream,
      Object.getPrototypeOf(body) === ReadableStream.prototype,
      Object.prototype.toString.call(body),
      new Response("text").body !== body,
      body === body,
      Object.keys(body).length,
    ]);
  },
};

export default {
  fetch(request) {
    return CASES[new URL(request.url).pathname](request);
  },
};
