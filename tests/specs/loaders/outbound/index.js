import { WorkerEntrypoint } from "cloudflare:workers";

export class Gate extends WorkerEntrypoint {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/redirect") return Response.redirect("http://other.test/to", 302);
    if (pathname === "/throw") throw new RangeError("not through here");
    if (pathname === "/socket") {
      const [theirs, mine] = Object.values(new WebSocketPair());
      mine.accept();
      mine.send("hello");
      return new Response(null, { status: 101, webSocket: theirs });
    }
    return new Response(`${this.ctx.props.who} saw ${request.method} ${request.url} ${await request.text()}`);
  }
}

const FETCH = `export default { async fetch() {
  try {
    const response = await fetch("http://origin.test/a", { method: "POST", body: "B" });
    return new Response(await response.text());
  } catch (error) {
    return new Response(error.name + ": " + error.message);
  }
} }`;
const CONNECT = `import { connect } from "cloudflare:sockets";
export default { async fetch() {
  try {
    connect("origin.test:80");
    return new Response("connected");
  } catch (error) {
    return new Response(error.name + ": " + error.message);
  }
} }`;
const MORE = `export default { async fetch() {
  const seen = [];
  const response = await fetch("http://origin.test/redirect");
  seen.push(response.url, response.redirected, await response.text());
  try { await fetch("http://origin.test/throw"); } catch (error) { seen.push(error.name + ": " + error.message); }
  const manual = await fetch("http://origin.test/redirect", { redirect: "manual" });
  seen.push(manual.status, manual.headers.get("location"));
  const socket = new WebSocket("ws://origin.test/socket");
  seen.push(await new Promise((resolve) => { socket.onmessage = ({ data }) => resolve(data); }));
  return Response.json(seen);
} }`;
const HERE = `export default { async fetch(request, env) { return fetch(env.ORIGIN + "/echo"); } }`;

export default {
  async fetch(request, env, ctx) {
    const gate = ctx.exports.Gate({ props: { who: "gate" } });
    const code = {
      "/denied": [FETCH, { globalOutbound: null }],
      "/denied-connect": [CONNECT, { globalOutbound: null }],
      "/service": [FETCH, { globalOutbound: gate }],
      "/binding": [FETCH, { globalOutbound: env.GATE }],
      "/more": [MORE, { globalOutbound: gate }],
      "/inherited": [HERE, { env: { ORIGIN: env.ORIGIN } }],
    };
    const [source, more] = code[new URL(request.url).pathname];
    const made = { compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": source }, ...more };
    return await env.LOADER.load(made).getEntrypoint().fetch("http://a/");
  },
};
