export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const echo = `${env.ORIGIN}/echo`;
    const calls = {
      "/get": () => fetch(`${echo}?a=1 2`, { headers: { "X-V": "v" } }),
      "/post": () => fetch(echo, { method: "POST", body: "some é" }),
      "/form": () => fetch(new URL(echo), { method: "PUT", body: new URLSearchParams({ a: "1", b: "é" }) }),
      "/stream": () => {
        const body = ReadableStream.from(["streamed ", "up"]).pipeThrough(new TextEncoderStream());
        return fetch(echo, { method: "POST", body });
      },
      "/forward": () => fetch(new Request(echo + url.search, request)),
    };
    const { method, path, headers, body } = await (await calls[url.pathname]()).json();
    return Response.json([method, path, headers["x-v"] ?? headers["content-type"] ?? null, body]);
  },
};
