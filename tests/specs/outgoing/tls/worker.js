export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    try {
      if (pathname === "/stream") {
        const body = ReadableStream.from(["up ", "over ", "tls"]).pipeThrough(new TextEncoderStream());
        const response = await fetch(`${env.ORIGIN}/echo`, { method: "POST", body });
        const { method, version, body: heard } = await response.json();
        return Response.json([method, version, heard]);
      }
      if (pathname === "/many") {
        const calls = Array.from({ length: 30 }, async (_, n) => (await fetch(`${env.ORIGIN}/echo/${n}`)).json());
        const answers = await Promise.all(calls);
        return Response.json([answers.every(({ path }, n) => path === `/echo/${n}`), answers[29].version]);
      }
      const response = await fetch(`${env.ORIGIN}/echo?a=1`, { headers: { "x-v": "v" } });
      const { path, version, headers } = await response.json();
      return Response.json([path, version, headers["x-v"]]);
    } catch (error) {
      return new Response(`${error.name}: ${error.message}`, { status: 502 });
    }
  },
};
