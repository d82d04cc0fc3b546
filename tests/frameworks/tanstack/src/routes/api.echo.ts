import { createFileRoute } from "@tanstack/react-router";
export const Route = createFileRoute("/api/echo")({
  server: { handlers: { POST: async ({ request }) => Response.json({ echo: await request.json(), query: new URL(request.url).searchParams.get("q") }) } },
});
