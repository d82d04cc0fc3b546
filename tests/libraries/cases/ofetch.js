import { createFetch } from "ofetch";
export default async () => {
  const $fetch = createFetch({ fetch: async (url) => Response.json({ url: String(url) }), Headers, AbortController }).create({ baseURL: "http://example.com" });
  return $fetch("/x", { query: { a: 1 } });
};
export const expected = { url: "http://example.com/x?a=1" };
