// Tries to reach the server at env.ORIGIN, which is on loopback, by every spelling and every way.
import { connect } from "cloudflare:sockets";

const HOSTS = [
  "127.0.0.1",
  "127.1",
  "2130706433",
  "0x7f000001",
  "0177.0.0.01",
  "127.0.0.1.",
  "%31%32%37.0.0.1",
  "①②⑦.⓪.⓪.①",
  "127。0。0。1",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "localhost",
  "LOCALHOST.",
  "a.localhost",
  "example.com@127.0.0.1",
];

async function attempt(body) {
  try {
    await body();
    return "reached";
  } catch (error) {
    const text = `${error}${error.cause ?? ""}`;
    return text.includes("is not allowed") ? "refused" : text;
  }
}

function webSocket(url) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.addEventListener("open", () => resolve(socket.close()));
    socket.addEventListener("error", (event) => reject(event.error ?? new Error(event.message)));
  });
}

export default {
  async fetch(request, env) {
    const port = new URL(env.ORIGIN).port;
    const counts = {};
    const count = async (way, body) => {
      const outcome = `${way} ${await attempt(body)}`;
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    };
    for (const host of HOSTS) {
      const url = `http://${host}:${port}/echo`;
      await count("fetch", async () => (await fetch(url)).text());
      await count("request", async () => (await fetch(new Request(url, { method: "POST", body: "x" }))).text());
      await count("upgrade", async () => {
        const response = await fetch(url.replace("/echo", "/websocket"), { headers: { Upgrade: "websocket" } });
        response.webSocket.accept();
        response.webSocket.close();
      });
      if (!host.includes("@")) {
        await count("WebSocket", () => webSocket(url.replace("http:", "ws:").replace("/echo", "/websocket")));
      }
      // connect() takes no spelling that a URL alone has.
      if (/^[\w.:[\]]+$/.test(host) && host !== "127.0.0.1.") {
        await count("connect", async () => {
          const socket = connect(`${host}:${port}`);
          await socket.opened;
          await socket.close();
        });
      }
    }
    return Response.json(counts);
  },
};
