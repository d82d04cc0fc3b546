import { defineNitroConfig } from "nitropack/config";
export default defineNitroConfig({
  preset: "cloudflare_module",
  compatibilityDate: "2026-08-01",
  cloudflare: { deployConfig: true, nodeCompat: true, wrangler: { name: "nitro-app", vars: { GREETING: "hello from vars" } } },
  routeRules: { "/cached": { swr: 5 } },
});
