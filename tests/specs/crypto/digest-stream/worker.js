const encode = (text) => new TextEncoder().encode(text);
const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const thrown = (work) => {
  try {
    return String(work());
  } catch (error) {
    return String(error);
  }
};

async function digest(algorithm, ...chunks) {
  const stream = new crypto.DigestStream(algorithm);
  const writer = stream.getWriter();
  for (const chunk of chunks) await writer.write(chunk);
  await writer.close();
  return stream;
}

export default {
  async fetch() {
    const out = {};
    out.md5 = [hex(await crypto.subtle.digest("MD5", encode("abc"))), hex(await crypto.subtle.digest({ name: "md5" }, encode("")))];
    const stream = await digest("MD5", encode("a"), "bc");
    out.stream = [hex(await stream.digest), String(stream.bytesWritten), typeof stream.bytesWritten, stream.digest === stream.digest, String(stream), stream instanceof WritableStream];
    out.sha = [
      hex(await (await digest("SHA-1", encode("abc"))).digest),
      hex(await (await digest({ name: "SHA-512" }, encode("abc").buffer, new DataView(encode("d").buffer))).digest),
    ];
    const piped = new crypto.DigestStream("SHA-256");
    await new Response("hello").body.pipeTo(piped);
    out.pipe = hex(await piped.digest);
    const aborted = new crypto.DigestStream("SHA-1");
    await aborted.getWriter().abort(new Error("stop"));
    out.errors = [
      thrown(() => new crypto.DigestStream("NOPE")),
      thrown(() => new crypto.DigestStream()).split(":")[0],
      await aborted.digest.catch(String),
    ];
    return Response.json(out);
  },
};
