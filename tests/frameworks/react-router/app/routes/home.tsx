import { cloudflareContext } from "../context";
export function loader({ context }: any) {
  return { greeting: context.get(cloudflareContext).env.GREETING };
}
export default function Home({ loaderData }: any) {
  return <main><h1>React Router on Atoll</h1><p id="greeting">{loaderData.greeting}</p></main>;
}
