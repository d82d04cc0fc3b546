import axios from "axios";
export default async () => {
  const client = axios.create({ adapter: "fetch", env: { fetch: async (request) => new Response(JSON.stringify({ url: request.url ?? request, ok: true }), { headers: { "content-type": "application/json" } }) } });
  client.interceptors.response.use((response) => ({ ...response, data: { ...response.data, seen: true } }));
  const { data, status } = await client.get("http://example.com/a", { params: { q: 1 } });
  return [data, status];
};
export const expected = [{ url: "http://example.com/a?q=1", ok: true, seen: true }, 200];
