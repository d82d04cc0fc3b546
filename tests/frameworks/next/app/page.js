import { cookies, headers } from "next/headers";
export const dynamic = "force-dynamic";
export default async function Page() {
  const name = (await cookies()).get("name")?.value ?? "nobody";
  const host = (await headers()).get("host");
  return <main><h1>Next.js on Atoll</h1><p id="name">{`signed in as ${name}`}</p><p id="host">{host}</p></main>;
}
