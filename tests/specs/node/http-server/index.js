import { createServer } from "node:http";
import { handleAsNodeRequest, httpServerHandler } from "cloudflare:node";

createServer((request, response) => {
  switch (request.url.split("?")[0]) {
    case "/info": {
      let body = "";
      request.setEncoding("utf8");
      request.on("data", (chunk) => body += chunk);
      request.on("end", () => {
        response.setHeader("x-many", ["1", "2"]);
        response.writeHead(201, { "content-type": "application/json" });
        const { method, url, httpVersion, complete, headers, cloudflare, socket } = request;
        response.end(JSON.stringify({
          body, method, url, httpVersion, complete, sent: headers["x-sent"], raw: request.rawHeaders.includes("x-sent"),
          cloudflare: Object.keys(cloudflare), address: socket.remoteAddress,
        }));
      });
      break;
    }
    case "/stream":
      response.write("a");
      setTimeout(() => {
        response.write("b");
        response.end("c");
      }, 1);
      break;
    case "/throw":
      throw new RangeError("in the listener");
    case "/none":
      response.statusCode = 204;
      response.end();
      break;
    default:
      response.end(`ok ${request.url}`);
  }
}).listen(8080);

const tries = {
  missing: () => httpServerHandler({ port: 9999 }).fetch(new Request("http://a/")),
  nothing: () => httpServerHandler(),
  "no port": () => httpServerHandler({ port: "x" }),
  number: () => Object.keys(httpServerHandler(8080)),
  async server() {
    const server = createServer((request, response) => response.end("by the server"));
    const handler = httpServerHandler(server);
    return [Object.keys(handler), server.listening, await (await handler.fetch(new Request("http://a/"))).text()];
  },
  async request() {
    const response = await handleAsNodeRequest(8080, new Request("http://a/zz"));
    return [response.status, await response.text(), response.headers.get("content-length")];
  },
  by: async () => (await handleAsNodeRequest({ port: 8080 }, new Request("http://a/yy"))).text(),
  "no such": () => handleAsNodeRequest(7, new Request("http://a/")),
};

const handler = httpServerHandler({ port: 8080 });

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/tries") return handler.fetch(request, env, ctx);
    const lines = [];
    for (const [name, run] of Object.entries(tries)) {
      try {
        lines.push(`${name}: ${JSON.stringify(await run())}`);
      } catch (error) {
        lines.push(`${name}: ${error.name} ${error.code}: ${error.message}`);
      }
    }
    return new Response(lines.join("\n") + "\n");
  },
};
