// The same answers by Node: its own `http` for all but Hono, which has its adapter. Run as `node node.mjs CASE PORT`.
import { createServer } from "node:http";
import { Readable } from "node:stream";

const [, , name, port] = process.argv;

const PIECES = 25;
const row = "<tr><td>streamed</td><td>row of the page</td></tr>\n";
const piece = row.repeat(Math.ceil(4096 / row.length)).slice(0, 4096);
const encoder = new TextEncoder();
const values = new Map();

const handlers = {
  hello(_request, response) {
    response.setHeader("content-type", "text/plain;charset=UTF-8");
    response.end("hello");
  },
  json(request, response) {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname !== "/api/item") {
      response.statusCode = 404;
      response.end("not found");
      return;
    }
    const id = Number(url.searchParams.get("id"));
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({
      id,
      name: `item ${id}`,
      tags: ["edge", "worker", "json"],
      price: { amount: id * 100, currency: "EUR" },
      available: id % 2 === 1,
    }));
  },
  async kv(request, response) {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname === "/fill") {
      for (let n = 0; n < 100; n += 1) values.set(`key-${n}`, `value ${n} `.repeat(10));
      response.end("filled");
      return;
    }
    response.end(await values.get("key-42"));
  },
  stream(_request, response) {
    let sent = 0;
    response.setHeader("content-type", "text/html");
    new Readable({
      read() {
        this.push(encoder.encode(piece));
        sent += 1;
        if (sent === PIECES) this.push(null);
      },
    }).pipe(response);
  },
};

if (name === "hono") {
  // Dear by the adapter: a header that a middleware sets after next() costs it its short way, four fifths of the time
  // (benches/results/node-hono-2026-11-21.txt).
  const { serve } = await import("@hono/node-server");
  const { default: app } = await import("./worker.js");
  serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(port) });
} else {
  createServer(handlers[name]).listen(Number(port), "127.0.0.1");
}
