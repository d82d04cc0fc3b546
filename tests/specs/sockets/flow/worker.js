import { connect } from "cloudflare:sockets";

const encode = (text) => new TextEncoder().encode(text);
const SIZE = 5_000_000;

async function up(env) {
  const socket = connect(env.TCP);
  const [reader, writer] = [socket.readable.getReader(), socket.writable.getWriter()];
  await writer.write(encode("count"));
  let answer = new TextDecoder().decode((await reader.read()).value);
  for (let sent = 0; sent < SIZE;) {
    const chunk = new Uint8Array(Math.min(100_000, SIZE - sent));
    for (let i = 0; i < chunk.length; i++) chunk[i] = (sent + i) % 251;
    await writer.write(chunk);
    sent += chunk.length;
  }
  await writer.close();
  while (true) {
    const { value, done } = await reader.read();
    if (done) return answer;
    answer += new TextDecoder().decode(value);
  }
}

async function down(env) {
  const socket = connect(env.TCP);
  await socket.writable.getWriter().write(encode(`flood ${SIZE}`));
  let got = 0;
  let right = true;
  for await (const chunk of socket.readable) {
    for (let i = 0; i < chunk.length; i++) right &&= chunk[i] === (got + i) % 251;
    got += chunk.length;
  }
  return [got, right];
}

async function one(env, number) {
  const socket = connect(env.TCP);
  await socket.writable.getWriter().write(encode(`${number}`));
  const { value } = await socket.readable.getReader().read();
  await socket.close();
  return new TextDecoder().decode(value);
}

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case "/up":
        return Response.json(await up(env));
      case "/down":
        return Response.json(await down(env));
      case "/many":
        return Response.json(await Promise.all(Array.from({ length: 10 }, (_, i) => one(env, i))));
      default: {
        const socket = connect(env.TCP);
        await socket.writable.getWriter().write(encode("flood 300000"));
        return new Response(socket.readable);
      }
    }
  },
};
