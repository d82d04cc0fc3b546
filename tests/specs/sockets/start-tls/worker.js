import { connect } from "cloudflare:sockets";

const encode = (text) => new TextEncoder().encode(text);

async function ask(socket, text) {
  const writer = socket.writable.getWriter();
  await writer.write(encode(text));
  writer.releaseLock();
  const reader = socket.readable.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value);
}

function thrown(work) {
  try {
    return String(work());
  } catch (error) {
    return String(error);
  }
}

export default {
  async fetch(_request, env) {
    const out = {};
    const first = connect(env.TCP, { secureTransport: "starttls" });
    out.states = [first.upgraded, first.secureTransport];
    out.before = await ask(first, "starttls");
    const secure = first.startTls();
    out.states.push(first.upgraded, secure.secureTransport, secure.upgraded);
    out["old closed"] = String(await first.closed);
    out.after = await ask(secure, "secret");
    out.again = thrown(() => first.startTls());
    await secure.writable.close();
    out.end = "";
    for await (const chunk of secure.readable) out.end += new TextDecoder().decode(chunk);

    const named = connect(env.TCP, { secureTransport: "starttls" });
    await ask(named, "starttls");
    out.named = await ask(named.startTls({ expectedServerHostname: "localhost" }), "by name");

    const misnamed = connect(env.TCP, { secureTransport: "starttls" });
    await ask(misnamed, "starttls");
    out.misnamed = await misnamed.startTls({ expectedServerHostname: "other.example" }).opened.then(String, (error) => error.cause.message);

    out.off = thrown(() => connect(env.TCP).startTls());
    return Response.json(out);
  },
};
