const rejected = (promise) => promise.then(() => "nothing", (error) => error.name);

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
export default {
  async fetch() {
    return Response.json({
      known: await new Response(new Blob([bytes("H4sIAAAAAAACA8tIzcnJVyjPL8pJAQCFEUoNCwAAAA==")]).stream().pipeThrough(new DecompressionStream("gzip"))).text(),
      zlib: await new Response(new Blob([bytes("eJzLSM3JyVcozy/KSQEAGgsEXQ==")]).stream().pipeThrough(new DecompressionStream("deflate"))).text(),
      raw: await new Response(new Blob([bytes("y0jNyclXKM8vykkBAA==")]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text(),
      round: await Promise.all(["gzip", "deflate", "deflate-raw"].map(async (format) => { const text = "some text ".repeat(5000); const small = await new Response(new Blob([text]).stream().pipeThrough(new CompressionStream(format))).blob(); const back = await new Response(small.stream().pipeThrough(new DecompressionStream(format))).text(); return [small.size < 2000, back === text]; })),
      garbage: await rejected(new Response(new Blob(["not gzip at all"]).stream().pipeThrough(new DecompressionStream("gzip"))).text()),
      cut: await rejected(new Response(new Blob([bytes("H4sIAAAAAAACA8tIzcnJVyjPL8pJ")]).stream().pipeThrough(new DecompressionStream("gzip"))).text()),
      unknown: (() => { try { new CompressionStream("lzma"); } catch (e) { return e.name; } })(),
    });
  },
};
