export default {
  async fetch(request, { KV }) {
    if (request.method === "GET") return new Response(await KV.get("large", "stream"));
    const value = new Uint8Array(Number(new URL(request.url).searchParams.get("bytes"))).fill(120);
    return new Response(await KV.put("large", value).then(() => "put", () => "refused"));
  },
};
