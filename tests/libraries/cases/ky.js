import ky from "ky";
export default async () => {
  let calls = 0;
  const api = ky.create({ retry: { limit: 2, delay: () => 1 }, fetch: async (request) => (++calls < 2 ? new Response("busy", { status: 503 }) : Response.json({ url: request.url })) });
  return [await api.get("http://example.com/x").json(), calls];
};
export const expected = [{ url: "http://example.com/x" }, 2];
