import { Await, createFileRoute } from "@tanstack/react-router";
import { Suspense } from "react";
export const Route = createFileRoute("/stream")({
  loader: () => ({ fast: "first", slow: new Promise<string>((resolve) => setTimeout(() => resolve("later"), 300)) }),
  component: Page,
});
function Page() {
  const { fast, slow } = Route.useLoaderData();
  return <main><p id="fast">{fast}</p><Suspense fallback={<p>waiting</p>}><Await promise={slow}>{(value) => <p id="slow">{value}</p>}</Await></Suspense></main>;
}
