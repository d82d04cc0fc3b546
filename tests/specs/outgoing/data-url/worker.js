async function read(url, init) {
  try {
    const response = await fetch(url, init);
    return [response.status, response.statusText, response.headers.get("content-type"), [...new Uint8Array(await response.arrayBuffer())].map((byte) => String.fromCharCode(byte)).join("")];
  } catch (error) {
    return [error.name, error.message];
  }
}

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case "/read":
        return Response.json(
          await Promise.all([
            "data:,hello",
            "data:text/plain;charset=utf-8,hi%20there",
            "data:text/html;base64,PGI+aGk8L2I+",
            "data:application/octet-stream;base64,AAEC/w==",
            "data: text/plain ; base64 ,aGk=",
            "data:text/html;BASE64,aGk",
            "data:text/plain,a#b",
            "data:foo,bar",
            "data:;charset=x,bar",
            "DATA:,upper",
            "data:,%zz%41%4",
            "data:,",
            "data:,\u00e9",
          ].map((url) => read(url))),
        );
      case "/request":
        return Response.json([
          await read(new Request("data:,by request")),
          await read("data:,x", { method: "HEAD" }),
          await env.SELF.fetch("data:,by a service").then((response) => response.text()),
        ]);
      case "/refused":
        return Response.json(
          await Promise.all(["data:text/html", "blob:https://x/1234", "about:blank", "file:///etc/passwd", "ftp://x/y", "foo:bar"].map(async (url) => {
            const [name, message] = await read(url);
            return [name, message.startsWith(`Fetch API cannot load: ${url}`)];
          })),
        );
      case "/standard": {
        const aborted = AbortSignal.abort();
        return Response.json([await read("data:,x", { method: "POST", body: "y" }), (await read("data:,x", { signal: aborted }))[0], (await read("data:text/html;base64,@@@"))[0]]);
      }
    }
  },
};
