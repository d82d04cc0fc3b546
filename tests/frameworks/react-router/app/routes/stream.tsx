import { Suspense } from "react";
import { Await } from "react-router";
export function loader() {
  return { fast: "first", slow: new Promise<string>((resolve) => setTimeout(() => resolve("later"), 300)) };
}
export default function Page({ loaderData }: any) {
  return (
    <main><p id="fast">{loaderData.fast}</p>
      <Suspense fallback={<p>waiting</p>}><Await resolve={loaderData.slow}>{(value: string) => <p id="slow">{value}</p>}</Await></Suspense></main>
  );
}
