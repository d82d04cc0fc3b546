import { Redis } from "@upstash/redis/cloudflare";
export default async () => {
  const real = globalThis.fetch;
  globalThis.fetch = async (url, init) => Response.json({ result: btoa(JSON.parse(init.body)[0]) });
  try { return await new Redis({ url: "https://redis.example.com", token: "t", enableTelemetry: false, enableAutoPipelining: false }).get("k"); } finally { globalThis.fetch = real; }
};
export const expected = "get";
