import { connect } from "cloudflare:sockets";

const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

async function ask(socket, chunk) {
  const writer = socket.writable.getWriter();
  await writer.write(chunk);
  writer.releaseLock();
  const reader = socket.readable.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return value;
}

export default {
  async fetch(_request, env) {
    const [hostname, port] = env.TCP.split(":");
    const out = {};
    const socket = connect(env.TCP);
    out.properties = [socket.secureTransport, socket.upgraded, String(socket.readable), String(socket.writable), String(socket)];
    out.opened = (await socket.opened).remoteAddress === env.TCP;
    const value = await ask(socket, encode("one"));
    out.address = [decode(value), value.constructor.name];
    out.closed = (await socket.close()) === undefined && (await socket.closed) === undefined;

    const second = connect({ hostname, port: Number(port) });
    out.object = decode(await ask(second, encode("two")));
    out.string = decode(await ask(second, "text"));
    out.buffer = decode(await ask(second, encode("buffer").buffer));
    const writer = second.writable.getWriter();
    await writer.write(encode("byob"));
    const reader = second.readable.getReader({ mode: "byob" });
    out.byob = decode((await reader.read(new Uint8Array(3))).value);
    second.close();

    const third = connect(`localhost:${port}`);
    out.localhost = (await third.opened).remoteAddress === `localhost:${port}`;
    third.close();
    try {
      new third.constructor();
    } catch (error) {
      out.constructor = String(error);
    }
    out.length = connect.length;
    return Response.json(out);
  },
};
