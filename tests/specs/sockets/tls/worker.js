import { connect } from "cloudflare:sockets";

export default {
  async fetch(_request, env) {
    const out = {};
    const { host } = new URL(env.TLS);
    const socket = connect(host, { secureTransport: "on" });
    const writer = socket.writable.getWriter();
    await writer.write(`GET /echo/raw HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    const text = await new Response(socket.readable).text();
    out.status = text.split("\r\n")[0];
    out.path = JSON.parse(text.slice(text.indexOf("\r\n\r\n"))).path;
    out.transport = socket.secureTransport;
    out.closed = String(await socket.closed);
    try {
      socket.startTls();
    } catch (error) {
      out.upgrade = String(error);
    }
    // A server that speaks no TLS.
    const plain = connect(env.TCP, { secureTransport: "on" });
    await plain.opened.catch((error) => {
      out.plain = String(error);
      out.why = error.cause.message;
    });
    return Response.json(out);
  },
};
