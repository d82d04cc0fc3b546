import { Suspense } from "react";
export const dynamic = "force-dynamic";
async function Slow() {
  await new Promise((resolve) => setTimeout(resolve, 300));
  return <p id="slow">later</p>;
}
export default function Page() {
  return <main><p id="fast">first</p><Suspense fallback={<p>waiting</p>}><Slow /></Suspense></main>;
}
