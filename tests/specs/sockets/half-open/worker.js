import { connect } from "cloudflare:sockets";

const encode = (text) => new TextEncoder().encode(text);
const outcome = (promise) => promise.then(String, String);

async function rest(socket) {
  let text = "";
  for await (const chunk of socket.readable) text += new TextDecoder().decode(chunk);
  return text;
}

export default {
  async fetch(_request, env) {
    const out = {};
    {
      const socket = connect(env.TCP);
      const writer = socket.writable.getWriter();
      await writer.write(encode("x"));
      await writer.close();
      out.ours = [await rest(socket), await outcome(socket.closed)];
    }
    {
      const socket = connect(env.TCP, { allowHalfOpen: true });
      const writer = socket.writable.getWriter();
      await writer.write(encode("x"));
      await writer.close();
      out["ours half"] = await rest(socket);
      socket.close();
    }
    {
      const socket = connect(env.TCP);
      const writer = socket.writable.getWriter();
      await writer.write(encode("bye"));
      out.theirs = [await rest(socket), await outcome(writer.write(encode("more"))), await outcome(socket.closed)];
    }
    {
      const socket = connect(env.TCP, { allowHalfOpen: true });
      const writer = socket.writable.getWriter();
      await writer.write(encode("bye"));
      out["theirs half"] = [await rest(socket), await outcome(writer.write(encode("more"))), await outcome(writer.close())];
      socket.close();
    }
    return Response.json(out);
  },
};
