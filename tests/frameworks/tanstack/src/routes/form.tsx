import { createFileRoute } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";
import { getCookie } from "@tanstack/react-start/server";
const load = createServerFn().handler(() => ({ name: getCookie("name") ?? "nobody" }));
export const Route = createFileRoute("/form")({
  loader: () => load(),
  component: Page,
  server: {
    handlers: {
      POST: async ({ request }) => {
        const name = (await request.formData()).get("name");
        if (!name) return new Response("a name is needed", { status: 400 });
        return new Response(null, { status: 303, headers: { Location: "/form", "Set-Cookie": `name=${name}; Path=/` } });
      },
    },
  },
});
function Page() {
  const { name } = Route.useLoaderData();
  return <main><p id="name">{`signed in as ${name}`}</p><form method="post"><input name="name" /><button>go</button></form></main>;
}
