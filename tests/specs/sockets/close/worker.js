import { connect } from "cloudflare:sockets";

const encode = (text) => new TextEncoder().encode(text);
const outcome = (promise) => promise.then(String, String);
const kind = (promise) => promise.then(() => "fulfilled", (error) => error.name);

export default {
  async fetch(_request, env) {
    const out = {};
    {
      const socket = connect(env.TCP);
      const [reader, writer] = [socket.readable.getReader(), socket.writable.getWriter()];
      await writer.write(encode("mark closed"));
      await reader.read();
      out.close = await outcome(socket.close());
      out.read = await kind(reader.read());
      out.write = await kind(writer.write(encode("x")));
      out.again = await outcome(socket.close());
      // The server sees the end.
      out.ended = await (await fetch(`${env.ORIGIN}/gate/closed`)).text();
    }
    {
      const socket = connect(env.TCP);
      const reader = socket.readable.getReader();
      await socket.opened;
      const pending = outcome(reader.read());
      await socket.close();
      out.pending = await pending;
    }
    {
      const socket = connect(env.TCP);
      const [reader, writer] = [socket.readable.getReader(), socket.writable.getWriter()];
      // The reset may come before the write is known to have been sent.
      await outcome(writer.write(encode("reset")));
      out.reset = [await outcome(reader.read()), await outcome(writer.write(encode("x")))];
    }
    {
      const socket = connect(env.TCP);
      out.early = [await outcome(socket.close()), (await socket.opened).remoteAddress === env.TCP, await outcome(socket.closed)];
    }
    return Response.json(out);
  },
};
