import http from "node:http";
import net from "node:net";

function send(url, options, chunks = []) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, options, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve([response.statusCode, JSON.parse(Buffer.concat(parts).toString())]));
    });
    request.on("error", reject);
    for (const chunk of chunks.slice(0, -1)) request.write(chunk);
    request.end(chunks.at(-1));
  });
}

export default {
  async fetch(request, env) {
    const echo = `${env.ORIGIN}/echo`;
    switch (new URL(request.url).pathname) {
      case "/get": {
        const [status, { method, path, headers }] = await send(`${echo}?a=1`, { headers: { "X-V": "v" } });
        return Response.json([status, method, path, headers["x-v"]]);
      }
      case "/post": {
        const [status, { method, body }] = await send(echo, { method: "POST" }, ["one ", "two ", "three"]);
        return Response.json([status, method, body]);
      }
      case "/once": {
        const [status, { method, body }] = await send(echo, { method: "PUT" }, ["whole"]);
        return Response.json([status, method, body]);
      }
      case "/checks": {
        const codes = [() => http.validateHeaderName("a b"), () => http.validateHeaderValue("a", "\u0001"), () => net.connect()]
          .map((run) => {
            try {
              return run();
            } catch (error) {
              return error.code;
            }
          });
        return Response.json([...codes, net.isIP("::1"), net.isIP("1.2.3.4"), net.isIP("1.2.3")]);
      }
      case "/net": {
        const { hostname, port } = new URL(env.ORIGIN);
        const socket = net.connect({ host: hostname, port: Number(port) });
        // Not end(): a server may take a half-closed connection for one that was given up.
        socket.write(`GET /echo?raw HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`);
        let text = "";
        for await (const part of socket) text += part;
        return new Response(text.slice(0, "HTTP/1.1 200".length));
      }
    }
  },
};
