import { createFileRoute } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";
import { getCookie, setCookie } from "@tanstack/react-start/server";
const load = createServerFn().handler(async () => {
  const { env } = await import("cloudflare:workers");
  const visits = Number(getCookie("visits") ?? 0) + 1;
  setCookie("visits", String(visits), { path: "/" });
  return { greeting: (env as any).GREETING as string, visits };
});
export const Route = createFileRoute("/")({ loader: () => load(), component: Home });
function Home() {
  const { greeting, visits } = Route.useLoaderData();
  return <main><h1>TanStack Start on Atoll</h1><p id="greeting">{greeting}</p><p id="visits">{`visits: ${visits}`}</p></main>;
}
